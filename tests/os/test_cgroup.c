/* The promises of os/cgroup.h, on trees of files made for the purpose. */

#include "os/cgroup.h"

#include <string.h>

#include "../folder.h"
#include "../test.h"

static const char *root;

static int
setup(void **state)
{
    (void)state;
    root = folder_make();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    folder_remove();
    return 0;
}

static void
put(const char *name, const char *text)
{
    folder_write(name, text, strlen(text));
}

static void
without_groups_there_is_no_limit(void **state)
{
    (void)state;
    struct guaco__limits got = guaco__cgroup_limits(root);
    assert_int_equal(got.cpu_milli, UINT32_MAX);
    assert_true(got.memory_bytes == UINT64_MAX);
    assert_true(guaco__cgroup_cpus(&got) >= 1);
}

static void
version_2_takes_the_least_of_the_branch(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("sys/fs/cgroup/a/b/memory.max", "2000000\n");
    put("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    put("sys/fs/cgroup/a/memory.max", "1000000\n");
    struct guaco__limits got = guaco__cgroup_limits(root);
    assert_int_equal(got.cpu_milli, 1500);
    assert_int_equal(got.memory_bytes, 1000000);
    assert_in_range(guaco__cgroup_cpus(&got), 1, 2);
}

static void
a_path_of_the_host_falls_back_to_the_mount(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/kubepods/pod1/c1\n");
    put("sys/fs/cgroup/cpu.max", "50000 100000\n");
    struct guaco__limits got = guaco__cgroup_limits(root);
    assert_int_equal(got.cpu_milli, 500);
    assert_int_equal(guaco__cgroup_cpus(&got), 1);
}

static void
version_1_has_its_own_files(void **state)
{
    (void)state;
    put("proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/c\n1:name=x:/\n");
    put("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "200000\n");
    put("sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "4096\n");
    struct guaco__limits got = guaco__cgroup_limits(root);
    assert_int_equal(got.cpu_milli, 2000);
    assert_int_equal(got.memory_bytes, 4096);
}

static void
nonsense_counts_as_no_limit(void **state)
{
    (void)state;
    put("proc/self/cgroup", "garbage\n0::/\n:::\n");
    put("sys/fs/cgroup/cpu.max", "-5 0\n");
    put("sys/fs/cgroup/memory.max", "lots\n");
    struct guaco__limits got = guaco__cgroup_limits(root);
    assert_int_equal(got.cpu_milli, UINT32_MAX);
    assert_true(got.memory_bytes == UINT64_MAX);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(without_groups_there_is_no_limit),
        T(version_2_takes_the_least_of_the_branch),
        T(a_path_of_the_host_falls_back_to_the_mount),
        T(version_1_has_its_own_files),
        T(nonsense_counts_as_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
