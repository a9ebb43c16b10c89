/* store_peers_walk.c: all pieces and entries of a user, newest first: for the newest entry of each conversation, and
 * for the received ones of those of a page. */
#include <errno.h>

#include "base/assert.h"
#include "storage/runs/store_peers_private.h"

/* Rows of the index that are read one after the other before a search. */
#define STEPS_MAX 4u
/* So few conversations of a block are searched one by one. */
#define SPARSE_MAX 12

/* -- a walk over all pieces and entries that are not indexed, newest first -- */

void store_peers_rewind(struct store_peers *peers)
{
    for (uint32_t i = 0; i < peers->count; i++) {
        struct peers_head *head = &peers->heads[i];
        head->is_over = head->run->entry.rows == 0;
        head->is_in_block = false;
        uint64_t newest = head->is_open ? head->peers.newest : head->run->entry.ts_max;
        head->at = newest < peers->query.bound ? newest + 1 : peers->query.bound;
    }
}

/* The head that may have the newest entry; NULL: all are over. */
static struct peers_head *first_head(struct store_peers *peers)
{
    struct peers_head *best = NULL;
    for (uint32_t i = 0; i < peers->count; i++) {
        struct peers_head *head = &peers->heads[i];
        if (head->at <= peers->query.after + 1)
            head->is_over = true;
        if (!head->is_over && (best == NULL || head->at > best->at))
            best = head;
    }
    return best;
}

int store_peers_open_head(struct store_peers *peers, struct peers_head *head)
{
    MDB_cursor *cursor;
    if (head->is_known)
        return 0;
    int status = run_slot_cursor(head->run, peers->reader->slot, &cursor);
    int more = status != 0 ? status
                           : run_peers_open(&head->peers, head->run, cursor, peers_user(peers), peers->hash,
                                            &peers->reader->hints);
    head->is_known = more >= 0;
    head->is_open = more == 1;
    return more < 0 ? more : 0;
}

/* The head is over if the run has no entries of the user. 1 or -errno. */
static int open_head(struct store_peers *peers, struct peers_head *head)
{
    int status = store_peers_open_head(peers, head);
    head->is_over = !head->is_open;
    if (head->is_open && head->peers.newest < head->at)
        head->at = head->peers.newest + 1;
    return status == 0 ? 1 : status;
}

/* What a walk does with a piece. */
typedef int piece_function(struct store_peers *peers, struct peers_head *head, const struct peer_piece *piece);

static struct peer_block newest_block(const struct peers_head *head)
{
    return run_peers_block(&head->peers, run_peers_begun(&head->peers, head->at) - 1);
}

/* Remembers the row to go on with in the next step. */
static void keep_place(struct peers_head *head, struct span first, uint64_t ts)
{
    memcpy(head->resume, first.data, first.bytes);
    head->resume_bytes = first.bytes;
    head->resume_ts = ts;
}

static int take_pieces(struct store_peers *peers, struct peers_head *head, struct peer_row *row, piece_function *take)
{
    struct peer_piece piece;
    int more, status = 0;
    while (status == 0 && (more = peer_row_next(row, &piece)) != 0) {
        peers->looks -= peers->looks > 0;
        peers->work++;
        status = more < 0 ? more : take(peers, head, &piece);
    }
    return status;
}

/* Reads all rows of the head's newest block, or as many as the step allows. */
static int walk_block(struct store_peers *peers, struct peers_head *head, piece_function *take)
{
    struct peer_block block = newest_block(head);
    struct span first = {head->resume, head->is_in_block ? head->resume_bytes : 0};
    struct peer_row row;
    int status = run_peers_seek_row(&head->peers, block, first, head->resume_ts, &row);
    while (status == 0) {
        uint64_t ts;
        status = take_pieces(peers, head, &row, take);
        int more = status == 0 ? run_peers_step(&head->peers, block, &row, &first, &ts) : 0;
        if (more < 0)
            status = more;
        if (more <= 0)
            break;
        if (peers->looks == 0) {
            keep_place(head, first, ts);
            head->is_in_block = true;
            return 0;
        }
    }
    head->is_in_block = false;
    head->at = block.oldest;
    return status;
}

/* Ends the head at the blocks, or for good. */
static int end_entries(struct peers_head *head)
{
    uint64_t last = run_peers_last(&head->peers);
    head->is_over = last == 0;
    head->at = last + 1;
    return 0;
}

/* Reads the next entry that is not indexed. */
static int walk_entry(struct store_peers *peers, struct peers_head *head, uint64_t *ts_r, enum role *role_r,
                      struct span *other_r, bool is_there)
{
    struct span value;
    int more = run_peers_entry(&head->peers, head->at, false, is_there, ts_r, &value);
    peers->looks -= peers->looks > 0;
    peers->work++;
    if (more != 1)
        return more;
    if (row_decode_peer(value, role_r, other_r) != 0)
        return -EBADMSG;
    if (*role_r == ROLE_SELF)
        *other_r = peers_user(peers);
    head->at = *ts_r;
    return 1;
}

static bool is_indexed_below(const struct peers_head *head)
{
    uint64_t last = run_peers_last(&head->peers);
    return last > 0 && head->at <= last + 1;
}

/* Whether a block begins below `at`; else the head is over. */
static bool has_block(struct peers_head *head)
{
    head->is_over = run_peers_begun(&head->peers, head->at) == 0;
    return !head->is_over;
}

/* -- the newest entry of each -- */

/* The newest entry of the piece below the query's bound; a ts of 0: it has none. 0 or -EBADMSG. */
static int newest_visible(const struct store_peers *peers, const struct peer_piece *piece, struct peer_entry *newest_r)
{
    struct peer_entry entries[PEER_PIECE_ENTRIES];
    int count = peer_piece_read(piece, entries);
    newest_r->ts = 0;
    for (int i = 0; i < count && newest_r->ts == 0; i++)
        if (entries[i].ts < peers->query.bound)
            *newest_r = entries[i];
    return count < 0 ? count : 0;
}

/* A piece may have entries that are not visible yet: only then it is read whole. */
static int note_piece(struct store_peers *peers, struct peers_head *head, const struct peer_piece *piece)
{
    struct peer_entry newest = {.ts = peer_piece_newest(piece)};
    if (newest.ts == 0)
        return -EBADMSG;
    bool is_visible = newest.ts < peers->query.bound;
    int status = is_visible ? 0 : newest_visible(peers, piece, &newest);
    if (status != 0 || newest.ts <= peers->query.after)
        return status;
    struct conversation *noted;
    status = conversations_note(&peers->all, piece->peer, newest.ts, head->number, &noted);
    if (status == 0 && noted != NULL)
        noted->place = is_visible ? peer_piece_newest_place(piece) : newest.place;
    return status;
}

/* Reads until the head is no longer the first, so that the cursor may go on from entry to entry. */
static int note_entries(struct store_peers *peers, struct peers_head *head)
{
    enum role role;
    struct span other;
    uint64_t ts;
    int more;
    bool is_there = false;
    struct conversation *noted;
    do {
        more = walk_entry(peers, head, &ts, &role, &other, is_there);
        is_there = true;
        if (more == 1 && ts > peers->query.after) {
            int status = conversations_note(&peers->all, other, ts, head->number, &noted);
            if (status != 0)
                return status;
        }
    } while (more == 1 && peers->looks > 0 && ts > peers->query.after + 1 && first_head(peers) == head);
    return more == 0 ? end_entries(head) : more < 0 ? more : 0;
}

/* Whether older entries cannot change the page: all that are left lie below `ts`. The check costs as much as there are
 * conversations, so it is made when as much was read since the last one. */
static bool is_page_known(struct store_peers *peers, uint64_t ts)
{
    if (peers->work < peers->next_check)
        return false;
    peers->next_check = peers->work + peers->all.count / 2;
    return conversations_within(&peers->all, ts, peers->query.before) > peers->query.limit;
}

int store_peers_walk_newest(struct store_peers *peers)
{
    struct peers_head *head = first_head(peers);
    if (head == NULL || is_page_known(peers, head->at))
        return 0;
    peers->at = head->run;
    if (!head->is_open)
        return open_head(peers, head);
    int status = !is_indexed_below(head) ? note_entries(peers, head)
                 : has_block(head)       ? walk_block(peers, head, note_piece)
                                         : 0;
    return status == 0 ? 1 : status;
}

/* -- unseen -- */

/* Whether entries below `ts` cannot change what is known of the conversation. */
static bool is_counted(struct chosen *chosen, uint64_t ts)
{
    if (ts <= chosen->above + 1)
        return true;
    if (chosen->count < STORE_UNSEEN_MAX)
        return false;
    chosen_sort(chosen, STORE_UNSEEN_MAX);
    return chosen->count == STORE_UNSEEN_MAX && ts <= chosen->ts[STORE_UNSEEN_MAX - 1];
}

/* The chosen one of this name, at or behind *at, which moves there. NULL: there is none. */
static struct chosen *find_chosen(struct store_peers *peers, struct span name, uint32_t *at)
{
    uint32_t low = *at, high = peers->all.chosen_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (span_compare(peers_chosen_name(peers, middle), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    bool is_it = low < peers->all.chosen_count && span_equal(peers_chosen_name(peers, low), name);
    return is_it ? &peers->all.chosen[low] : NULL;
}

static int add_piece(const struct store_peers *peers, struct chosen *chosen, const struct peer_piece *piece)
{
    uint64_t ts[PEER_PIECE_ENTRIES];
    int count = peer_piece_received(piece, chosen->above, ts), status = 0;
    for (int i = 0; i < count && status == 0; i++)
        if (ts[i] < peers->query.bound)
            status = chosen_add(chosen, ts[i], STORE_UNSEEN_MAX);
    return count < 0 ? count : status;
}

/* The next conversation from *at on that is not counted yet, nor absent. False: there is none. */
static bool next_wanted(struct store_peers *peers, uint64_t ts, uint32_t *at)
{
    while (*at < peers->all.chosen_count
           && (peers->all.chosen[*at].is_absent || is_counted(&peers->all.chosen[*at], ts)))
        ++*at;
    return *at < peers->all.chosen_count;
}

/* The next piece of the row of `wanted`, or of a name above it. 1 with *order_r, 0 or 1; 0: there is none; or -EBADMSG.
 */
static int find_piece(struct store_peers *peers, struct peer_row *row, struct span wanted, struct peer_piece *piece_r,
                      int *order_r)
{
    int more, order = -1;
    uint32_t looked = 0;
    for (; order < 0 && (more = peer_row_next(row, piece_r)) == 1; looked++)
        order = span_compare(piece_r->peer, wanted);
    peers->looks -= looked < peers->looks ? looked : peers->looks;
    *order_r = order;
    return more;
}

/* The pieces of a row that are wanted. *at moves to the first conversation behind the row's last piece, or behind the
 * peer `end` with whom the next row begins (empty: there is none). */
static int add_row(struct store_peers *peers, struct peer_row *row, uint64_t ts, struct span end, uint32_t *at)
{
    struct peer_piece piece;
    int order, status = 0;
    while (status == 0 && next_wanted(peers, ts, at)) {
        struct span wanted = peers_chosen_name(peers, *at);
        if (end.bytes > 0 && span_compare(wanted, end) > 0)
            return 0;
        int more = find_piece(peers, row, wanted, &piece, &order);
        if (more != 1)
            return more;
        while (order > 0) {
            ++*at;
            if (!next_wanted(peers, ts, at))
                return 0;
            order = span_compare(piece.peer, peers_chosen_name(peers, *at));
        }
        if (order == 0)
            status = add_piece(peers, &peers->all.chosen[*at], &piece);
    }
    return status;
}

/* Marks the conversations without a received message in the block. How many are left, or -errno. */
static int find_absent(struct store_peers *peers, const struct peers_head *head, struct peer_block block)
{
    struct filter filter;
    int more = run_peers_filter(&head->peers, block, &filter), left = 0;
    for (uint32_t i = 0; i < peers->all.chosen_count; i++) {
        struct chosen *chosen = &peers->all.chosen[i];
        chosen->is_absent = more == 1 && !filter_may_contain(&filter, chosen->hash);
        left += !chosen->is_absent;
    }
    return more < 0 ? more : left;
}

static void forget_absent(struct store_peers *peers)
{
    for (uint32_t i = 0; i < peers->all.chosen_count; i++)
        peers->all.chosen[i].is_absent = false;
}

/* The wanted pieces of a block whose conversations are searched one by one. */
static int add_few(struct store_peers *peers, struct peers_head *head, struct peer_block block, uint64_t ts)
{
    static const struct span none = {"", 0};
    uint32_t at = 0, before = UINT32_MAX;
    int status = 0, more = 1;
    struct peer_row row;
    while (status == 0 && more == 1 && next_wanted(peers, ts, &at)) {
        struct span first;
        uint64_t first_ts;
        if (at != before)
            status = run_peers_seek(&head->peers, block, peers_chosen_name(peers, at), &row);
        else
            more = run_peers_step(&head->peers, block, &row, &first, &first_ts);
        before = at;
        if (status == 0 && more == 1)
            status = add_row(peers, &row, ts, none, &at);
    }
    return status != 0 ? status : more < 0 ? more : 0;
}

/* The wanted pieces of a block. A row is passed over whole if the next one begins below what is wanted. */
static int add_many(struct store_peers *peers, struct peers_head *head, struct peer_block block, uint64_t ts)
{
    uint32_t at = 0, steps = 0;
    struct peer_row row, next;
    int more = 1;
    if (!next_wanted(peers, ts, &at))
        return 0;
    int status = run_peers_seek(&head->peers, block, peers_chosen_name(peers, at), &row);
    while (status == 0 && more == 1) {
        struct span first = {"", 0};
        uint64_t first_ts;
        uint32_t before = at;
        more = run_peers_step(&head->peers, block, &next, &first, &first_ts);
        if (more >= 0)
            status = add_row(peers, &row, ts, more == 1 ? first : (struct span){"", 0}, &at);
        if (status != 0 || more != 1 || !next_wanted(peers, ts, &at))
            break;
        steps = at == before ? steps + 1 : 0;
        row = next;
        if (steps > STEPS_MAX && span_compare(first, peers_chosen_name(peers, at)) < 0) {
            status = run_peers_seek(&head->peers, block, peers_chosen_name(peers, at), &row);
            steps = 0;
        }
    }
    return status != 0 ? status : more < 0 ? more : 0;
}

/* The same of the head's newest block. */
static int add_block(struct store_peers *peers, struct peers_head *head)
{
    struct peer_block block = newest_block(head);
    int status = find_absent(peers, head, block);
    uint64_t ts = head->at < block.last + 1 ? head->at : block.last + 1;
    if (status > 0)
        status = status <= SPARSE_MAX ? add_few(peers, head, block, ts) : add_many(peers, head, block, ts);
    forget_absent(peers);
    head->at = block.oldest;
    return status;
}

static int add_entries(struct store_peers *peers, struct peers_head *head)
{
    enum role role;
    struct span other;
    uint64_t ts;
    int more, status = 0;
    bool is_there = false;
    do {
        more = walk_entry(peers, head, &ts, &role, &other, is_there);
        is_there = true;
        uint32_t at = 0;
        struct chosen *chosen = more == 1 && role == ROLE_RECEIVED ? find_chosen(peers, other, &at) : NULL;
        if (chosen != NULL && ts < peers->query.bound)
            status = chosen_add(chosen, ts, STORE_UNSEEN_MAX);
    } while (status == 0 && more == 1 && peers->looks > 0 && ts > peers->query.after + 1);
    return status != 0 ? status : more == 0 ? end_entries(head) : more < 0 ? more : 0;
}

int store_peers_walk_unseen(struct store_peers *peers)
{
    struct peers_head *head = first_head(peers);
    uint32_t at = 0;
    if (head == NULL || !next_wanted(peers, head->at, &at))
        return 0;
    peers->at = head->run;
    if (!head->is_open)
        return open_head(peers, head);
    int status = !is_indexed_below(head) ? add_entries(peers, head) : has_block(head) ? add_block(peers, head) : 0;
    return status == 0 ? 1 : status;
}
