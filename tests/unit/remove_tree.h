/* remove_tree.h: removes the directory of a test. */
#ifndef CHITCHAT_TESTS_UNIT_REMOVE_TREE_H
#define CHITCHAT_TESTS_UNIT_REMOVE_TREE_H

#include <ftw.h>
#include <stdio.h>

static inline int remove_entry(const char *name, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(name);
}

/* `path` and all below it. 0, or what remove has returned. */
static inline int remove_tree(const char *path)
{
    return nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
