/* manifests.h: a manifest that ends its reader is named, and nothing else is an error. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "remove_tree.h"
#include "storage/offline/manifests.h"
#include "storage/runs/manifest.h"

#define PAGE 4096

static char root[32];
static char manifest[512];
static struct datadir *datadir;
static struct datadir_error error;

static void setup(void)
{
    char path[64], runs[256];
    const struct manifest_marks marks = {.next_id = 1, .next_seq = 1};
    strcpy(root, "/tmp/chitchat-manifests-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/data", root);
    cr_assert_eq(datadir_open(&datadir, path, 2, 1, &error), 0, "%s", error.text);
    cr_assert_eq(datadir_runs_path(datadir, 1, runs, sizeof runs), 0);
    (void)snprintf(manifest, sizeof manifest, "%s/manifest.mdb", runs);
    cr_assert_eq(manifest_make(manifest, &marks), 0);
}

static void teardown(void)
{
    datadir_close(&datadir);
    cr_assert_eq(remove_tree(root), 0);
}

TestSuite(manifests, .init = setup, .fini = teardown);

Test(manifests, those_that_are_whole_or_missing_or_report_their_damage_are_no_error)
{
    cr_expect_eq(manifests_check(datadir, &error), 0, "the other shard has none yet");
    cr_assert_eq(truncate(manifest, PAGE), 0);
    cr_expect_eq(manifests_check(datadir, &error), 0, "whoever opens it reports that");
}

/* A branch of one key, as LMDB never writes one. */
Test(manifests, one_that_ends_its_reader_is_named_with_what_to_do)
{
    static const unsigned char branch[] = {1, 0, 18, 0};
    unsigned char flags[2];
    int fd = open(manifest, O_RDWR);
    for (off_t page = 2 * PAGE; pread(fd, flags, sizeof flags, page + 10) == sizeof flags; page += PAGE)
        if (flags[0] == 2)
            cr_assert_eq(pwrite(fd, branch, sizeof branch, page + 10), sizeof branch);
    close(fd);
    cr_assert_eq(manifests_check(datadir, &error), -EBADMSG);
    cr_expect_eq(strncmp(error.text, manifest, strlen(manifest)), 0, "%s", error.text);
    cr_expect_not_null(strstr(error.text, " is damaged, reading it ended with "), "%s", error.text);
    cr_expect_not_null(strstr(error.text, "restore the data directory from a backup"), "%s", error.text);
}
