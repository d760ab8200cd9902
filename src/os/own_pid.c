#include "own_pid.h"

#include <sys/mman.h>
#include <unistd.h>

void
guaco__own_pid_open(struct guaco__own_pid *own)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    own->page = NULL;
    if (page == MAP_FAILED)
        return;
    if (madvise(page, bytes, MADV_WIPEONFORK) != 0)
        (void)munmap(page, bytes);
    else
        own->page = page;
}

void
guaco__own_pid_close(struct guaco__own_pid *own)
{
    if (own->page != NULL)
        (void)munmap((void *)own->page, (size_t)sysconf(_SC_PAGESIZE));
    own->page = NULL;
}

pid_t
guaco__own_pid_get(const struct guaco__own_pid *own)
{
    if (own->page == NULL)
        return getpid();
    pid_t pid = atomic_load_explicit(own->page, memory_order_relaxed);
    if (pid == 0) {
        pid = getpid();
        atomic_store_explicit(own->page, pid, memory_order_relaxed);
    }
    return pid;
}
