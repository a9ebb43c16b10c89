#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/cgroup.h"

static char dir[64];
static struct cgroup_limit limit;

static void setup(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/chitchat-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
    char command[96];
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(cgroup, .init = setup, .fini = teardown);

/* Makes the file `path` below the directory of the test, and its directories. */
static void put(const char *path, const char *text)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", dir, path);
    for (char *slash = strchr(full + strlen(dir) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    cr_assert_not_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

/* Reads the limit with `groups` in the place of /proc/self/cgroup. */
static void read_limit(const char *groups)
{
    char proc[96], root[96];
    (void)snprintf(proc, sizeof proc, "%s/proc", dir);
    (void)snprintf(root, sizeof root, "%s/sys", dir);
    put("proc", groups);
    cgroup_memory_limit(proc, root, &limit);
}

static void assert_limit(uint64_t bytes, const char *file)
{
    cr_assert_eq(limit.bytes, bytes, "%llu", (unsigned long long)limit.bytes);
    cr_assert_str_eq(limit.file + strlen(dir), file);
}

Test(cgroup, version_2_has_the_limit_of_the_own_group)
{
    put("sys/system.slice/chat.service/memory.max", "1073741824\n");
    read_limit("0::/system.slice/chat.service\n");
    assert_limit(1u << 30, "/sys/system.slice/chat.service/memory.max");
}

Test(cgroup, a_lower_limit_of_a_group_above_counts)
{
    put("sys/a/b/c/memory.max", "max\n");
    put("sys/a/b/memory.max", "3000000\n");
    put("sys/a/memory.max", "2000000\n");
    read_limit("0::/a/b/c\n");
    assert_limit(2000000, "/sys/a/memory.max");
}

Test(cgroup, memory_high_is_a_limit_too)
{
    put("sys/a/memory.max", "3000000\n");
    put("sys/a/memory.high", "1000000\n");
    read_limit("0::/a\n");
    assert_limit(1000000, "/sys/a/memory.high");
}

Test(cgroup, in_a_container_the_root_is_the_own_group)
{
    put("sys/memory.max", "536870912\n");
    read_limit("0::/\n");
    assert_limit(512u << 20, "/sys/memory.max");
}

Test(cgroup, a_group_that_is_not_visible_counts_as_its_visible_part)
{
    put("sys/memory/memory.limit_in_bytes", "536870912\n");
    read_limit("5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n");
    assert_limit(512u << 20, "/sys/memory/memory.limit_in_bytes");
    put("sys/memory.max", "400000000\n");
    read_limit("0::/../../elsewhere\n");
    assert_limit(400000000, "/sys/memory.max");
}

Test(cgroup, version_1_has_its_own_mount_and_a_number_for_no_limit)
{
    put("sys/memory/docker/1/memory.limit_in_bytes", "268435456\n");
    put("sys/memory/memory.limit_in_bytes", "9223372036854771712\n");
    read_limit("9:name=systemd:/\n4:cpuset,memory:/docker/1\n0::/\n");
    assert_limit(256u << 20, "/sys/memory/docker/1/memory.limit_in_bytes");
}

Test(cgroup, version_2_beside_version_1_is_mounted_below)
{
    put("sys/unified/x/memory.max", "1000000\n");
    read_limit("0::/x\n");
    assert_limit(1000000, "/sys/unified/x/memory.max");
}

Test(cgroup, what_is_no_limit_is_none)
{
    put("sys/a/memory.max", "max\n");
    put("sys/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    read_limit("4:memory:/a\n0::/a\n");
    cr_assert_eq(limit.bytes, 0);
    put("sys/a/memory.max", "12x\n");
    read_limit("0::/a\n\n:\nno colons\n7:memory\n0::relative\n");
    cr_assert_eq(limit.bytes, 0);
    cgroup_memory_limit("/nowhere", "/nowhere", &limit);
    cr_assert_eq(limit.bytes, 0);
}
