/*
 * wall_btree.c: what a single LMDB B-tree sustains, to compare with `./dev wall`. It fills one file with as many rows
 * as wall-fill writes, then inserts pairs of rows for uniform users, in transactions of BATCH messages (group commit,
 * LMDB's full durability).
 *
 *     wall-btree FILE MESSAGES USERS BATCH SECONDS
 *
 * The file grows by some 130 bytes a row and is removed at the end.
 */
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/record.h"
#include "times.h"

#define TEXT_BYTES 64u
#define FILL_COMMIT_ROWS 12000u

struct tree {
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t next_ts;
};

static void must(int result, const char *what)
{
    if (result == 0)
        return;
    fprintf(stderr, "wall-btree: %s: %s\n", what, mdb_strerror(result));
    exit(1);
}

/* The names sort like their numbers, so that the tree can be filled by appending. */
static void put(struct tree *tree, MDB_txn *txn, uint32_t user, uint32_t other, enum role role, unsigned flags)
{
    char name[16], other_name[16];
    static const uint8_t mid[LIMIT_MID_BYTES];
    static const char text[TEXT_BYTES + 1] = "a message that was stored before the first one of this run came ";
    uint8_t key[ROW_KEY_BYTES_MAX], value[ROW_VALUE_BYTES_MAX];
    struct span own = {name, (size_t)snprintf(name, sizeof name, "load-%07" PRIu32, user)};
    struct span peer = {other_name, (size_t)snprintf(other_name, sizeof other_name, "load-%07" PRIu32, other)};
    struct message message = {.ts = tree->next_ts,
                              .other_ts = tree->next_ts ^ 1,
                              .role = role,
                              .mid = mid,
                              .from = role == ROLE_SENT ? own : peer,
                              .to = role == ROLE_SENT ? peer : own,
                              .text = {text, TEXT_BYTES}};
    tree->next_ts++;
    MDB_val mdb_key = {row_key(own, message.ts, key), key};
    MDB_val mdb_value = {row_encode(&message, value), value};
    must(mdb_put(txn, tree->dbi, &mdb_key, &mdb_value, flags), "put");
}

static void fill(struct tree *tree, uint32_t messages, uint32_t users)
{
    MDB_txn *txn = NULL;
    uint64_t rows = 2 * (uint64_t)messages;
    mdb_env_set_flags(tree->env, MDB_NOSYNC, 1);
    for (uint64_t row = 0; row < rows; row++) {
        if (txn == NULL)
            must(mdb_txn_begin(tree->env, NULL, 0, &txn), "begin");
        put(tree, txn, (uint32_t)(row * users / rows), 0, ROLE_SENT, MDB_APPEND);
        if ((row + 1) % FILL_COMMIT_ROWS != 0 && row + 1 < rows)
            continue;
        must(mdb_txn_commit(txn), "commit");
        txn = NULL;
    }
    mdb_env_set_flags(tree->env, MDB_NOSYNC, 0);
    must(mdb_env_sync(tree->env, 1), "sync");
}

static void insert(struct tree *tree, uint32_t users, uint32_t batch, double seconds)
{
    uint64_t messages = 0;
    double begin_s = times_now_s(), end_s = begin_s + seconds, at_s = begin_s;
    for (; at_s < end_s; at_s = times_now_s()) {
        MDB_txn *txn;
        must(mdb_txn_begin(tree->env, NULL, 0, &txn), "begin");
        for (uint32_t i = 0; i < batch; i++, messages++) {
            uint32_t from = (uint32_t)((uint64_t)lrand48() % users), to = (uint32_t)((uint64_t)lrand48() % users);
            put(tree, txn, from, to, ROLE_SENT, 0);
            put(tree, txn, to, from, ROLE_RECEIVED, 0);
        }
        must(mdb_txn_commit(txn), "commit");
    }
    printf("one B-tree, %" PRIu32 " messages a commit: %.0f messages/s, %.0f rows/s, over %.0f s\n", batch,
           (double)messages / (at_s - begin_s), 2 * (double)messages / (at_s - begin_s), at_s - begin_s);
}

int main(int argc, char **argv)
{
    struct tree tree = {.next_ts = UINT64_C(1700000000000000)};
    MDB_txn *txn;
    if (argc != 6) {
        fputs("Usage: wall-btree FILE MESSAGES USERS BATCH SECONDS\n", stderr);
        return 2;
    }
    uint32_t messages = (uint32_t)atoi(argv[2]), users = (uint32_t)atoi(argv[3]), batch = (uint32_t)atoi(argv[4]);
    if (messages == 0 || users == 0 || batch == 0 || access(argv[1], F_OK) == 0) {
        fputs("wall-btree: FILE must not exist, and the numbers must be positive\n", stderr);
        return 2;
    }
    must(mdb_env_create(&tree.env), "create");
    must(mdb_env_set_mapsize(tree.env, (size_t)256 << 30), "map");
    must(mdb_env_open(tree.env, argv[1], MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD, 0600), argv[1]);
    must(mdb_txn_begin(tree.env, NULL, 0, &txn), "begin");
    must(mdb_dbi_open(txn, NULL, 0, &tree.dbi), "open");
    must(mdb_txn_commit(txn), "commit");
    fill(&tree, messages, users);
    insert(&tree, users, batch, atof(argv[5]));
    mdb_env_close(tree.env);
    unlink(argv[1]);
    return 0;
}
