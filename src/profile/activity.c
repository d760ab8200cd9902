/* What the kernel says of a thread. */

#include "activity.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "os/proc.h"

#define TID_IN_PTHREAD 720 /* glibc's struct pthread, x86-64 */

int32_t
guaco__thread_native_id(struct guaco__vmem *memory,
                        const struct guaco__thread_sample *sample)
{
    int32_t id = 0;

    if (sample->native_id != 0)
        return sample->native_id;
    int rc = guaco__vmem_get(memory, sample->thread_id + TID_IN_PTHREAD, &id,
                             sizeof id);
    return rc == GUACO_OK && id > 0 ? id : 0;
}

bool
guaco__thread_is_running(int32_t pid, int32_t native_id, bool holds_gil)
{
    char path[64], text[512];
    struct guaco__proc_stat stat;

    if (native_id == 0)
        return holds_gil;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid,
             (int)native_id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return holds_gil;
    ssize_t len = read(fd, text, sizeof text);
    close(fd);
    if (len <= 0 || guaco__proc_parse_stat(text, (size_t)len, &stat) != 0)
        return holds_gil;
    return stat.state == 'R';
}
