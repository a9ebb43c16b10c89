/*
 * store_peer_check.c: with whom of a list of peers a user has entries. Any entry will do, so the runs are not merged:
 * each is searched, the newest run first, until all peers are found.
 */
#include <errno.h>

#include "base/assert.h"
#include "storage/runs/run_peers.h"
#include "storage/runs/store_private.h"

struct search {
    struct store_reader *reader;
    const struct run_list *list;
    struct store_peer_check *check;
    uint64_t hash;      /* of the user, for the filters */
    struct run *at;     /* that is read */
    uint32_t left;      /* peers without an entry so far */
    uint32_t looks_max; /* of one run */
    uint64_t stopped;   /* the newest ts at which the search of a run has stopped; 0: all were searched to the end */
};

static bool is_wanted(const struct search *search, const struct run *run)
{
    const struct store_peer_check *check = search->check;
    return run->entry.ts_max > check->after && run->entry.ts_min < check->before
           && filter_may_contain(&run->filter, search->hash);
}

static void stop_at(struct search *search, uint64_t ts)
{
    ASSERT(ts < search->check->before);
    if (ts > search->stopped)
        search->stopped = ts;
}

static void note(struct search *search, struct store_checked_peer *peer, uint64_t ts)
{
    ASSERT(peer->ts == 0 && search->left > 0);
    peer->ts = ts;
    search->left--;
}

static int note_entry(struct search *search, uint64_t ts, struct span value)
{
    const struct store_peer_check *check = search->check;
    enum role role;
    struct span other;
    if (row_decode_peer(value, &role, &other) != 0)
        return -EBADMSG;
    struct span peer = role == ROLE_SELF ? check->user : other;
    for (uint32_t i = 0; i < check->count; i++)
        if (check->peers[i].ts == 0 && span_equal(check->peers[i].name, peer))
            note(search, &check->peers[i], ts);
    return 0;
}

/* Reads the entries that are not indexed. 1: they end; 0: stopped; or -errno. */
static int search_entries(struct search *search, const struct run_peers *peers, uint32_t *looks)
{
    const struct store_peer_check *check = search->check;
    uint64_t at = check->before, ts;
    struct span value;
    int more = 1;
    while (search->left > 0 && at > run_peers_last(peers) + 1) {
        more = run_peers_entry(peers, at, false, at < check->before, &ts, &value);
        if (more != 1 || ts <= check->after)
            return more < 0 ? more : 1;
        int status = note_entry(search, ts, value);
        if (status != 0)
            return status;
        search->reader->work.entries++;
        at = ts;
        if (++*looks >= search->looks_max) {
            stop_at(search, at);
            return 0;
        }
    }
    return 1;
}

/* The newest entry of the piece below check->before, which it has. */
static int note_piece(struct search *search, const struct peer_piece *piece, struct store_checked_peer *peer)
{
    struct peer_entry entries[PEER_PIECE_ENTRIES];
    int count = peer_piece_read(piece, entries);
    for (int i = 0; i < count; i++) {
        if (entries[i].ts >= search->check->before)
            continue;
        if (entries[i].ts > search->check->after)
            note(search, peer, entries[i].ts);
        return 0;
    }
    return -EBADMSG;
}

static int search_block(struct search *search, struct run_peers *peers, struct peer_block block, uint32_t *looks)
{
    const struct store_peer_check *check = search->check;
    struct peer_piece piece;
    for (uint32_t i = 0; i < check->count; i++) {
        struct store_checked_peer *peer = &check->peers[i];
        if (peer->ts > 0)
            continue;
        *looks += RUN_PEERS_FIND_LOOKS;
        search->reader->work.searches++;
        int more = run_peers_find(peers, block, peer->name, check->before, false, &piece);
        int status = more == 1 ? note_piece(search, &piece, peer) : more;
        if (status != 0)
            return status;
    }
    return 0;
}

/* Searches the blocks, the newest first. 0 or -errno. */
static int search_blocks(struct search *search, struct run_peers *peers, uint32_t looks)
{
    for (uint32_t at = run_peers_begun(peers, search->check->before); at > 0 && search->left > 0; at--) {
        struct peer_block block = run_peers_block(peers, at - 1);
        if (block.last <= search->check->after)
            return 0;
        int status = search_block(search, peers, block, &looks);
        if (status != 0)
            return status;
        if (looks >= search->looks_max) {
            stop_at(search, block.oldest);
            return 0;
        }
    }
    return 0;
}

static int search_run(struct search *search, struct run *run)
{
    MDB_cursor *cursor;
    struct run_peers peers;
    uint32_t looks = 0;
    search->at = run;
    int status = run_slot_cursor(run, search->reader->slot, &cursor);
    int more = status == 0
                   ? run_peers_open(&peers, run, cursor, search->check->user, search->hash, &search->reader->hints)
                   : status;
    if (more == 1)
        more = search_entries(search, &peers, &looks);
    return more == 1 ? search_blocks(search, &peers, looks) : more;
}

static int search_all(void *context)
{
    struct search *search = context;
    int status = 0;
    for (uint32_t i = search->list->count; i > 0 && search->left > 0 && status == 0; i--)
        if (is_wanted(search, search->list->runs[i - 1]))
            status = search_run(search, search->list->runs[i - 1]);
    return status;
}

int store_reader_check_peers(struct store_reader *reader, struct store_peer_check *check)
{
    ASSERT(check->user.bytes > 0);
    ASSERT(check->looks_max > 0);
    struct run_list *list = store_ref_list(reader->store);
    struct search search = {.reader = reader, .list = list, .check = check, .hash = filter_hash(check->user)};
    uint32_t runs = 0;
    for (uint32_t i = 0; i < list->count; i++)
        runs += is_wanted(&search, list->runs[i]);
    for (uint32_t i = 0; i < check->count; i++)
        search.left += check->peers[i].ts == 0;
    search.looks_max = runs == 0 ? check->looks_max : check->looks_max / runs;
    int status = store_read_guarded(reader, list, &search.at, search_all, &search);
    store_unref_list(reader->store, list);
    if (status != 0 || search.left == 0 || search.stopped == 0)
        return status;
    check->before = search.stopped;
    return check->before > check->after + 1 ? 1 : 0;
}
