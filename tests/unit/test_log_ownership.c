/* log_ownership: who may append, what is committed, what is damage. A log in memory, of which the tests choose what
 * becomes of each append. The simulator (tests/sim/cluster.c) has several nodes and chance. */
#include "storage/log_ownership.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "base/bytes.h"
#include "base/hash.h"

#define SLOT 3u
#define BATCHES_MAX 32u

struct batch {
    uint8_t data[LOG_BATCH_HEADER_BYTES + 64];
    uint32_t bytes;
    struct log_hash hash;
};

static struct batch batches[BATCHES_MAX];
static uint64_t last;
static struct ownership north, south;
static uint8_t payload[LOG_BATCH_HEADER_BYTES + 64];

static void begin(void)
{
    static const struct ownership_mark nothing = {0};
    last = 0;
    ownership_init(&north, SLOT, 1, "north", &nothing);
    ownership_init(&south, SLOT, 1, "south", &nothing);
}

static void end(void)
{
    ownership_fini(&north);
    ownership_fini(&south);
}

TestSuite(log_ownership, .init = begin, .fini = end);

static void put(const void *data, uint32_t bytes)
{
    cr_assert_lt(last, BATCHES_MAX);
    struct batch *batch = &batches[last++];
    memcpy(batch->data, data, bytes);
    batch->bytes = bytes;
    log_batch_hash(data, bytes, &batch->hash);
}

static bool is_expected(const struct ownership_call *call)
{
    static const struct log_hash none = {{0}};
    return call->last == last && log_hash_equal(call->previous, last == 0 ? &none : &batches[last - 1].hash);
}

static struct ownership_call next(struct ownership *node)
{
    struct ownership_call call;
    ownership_next(node, &call);
    return call;
}

/* The node's next call is a read, which the log answers. */
static void read_once(struct ownership *node)
{
    struct ownership_call call = next(node);
    int visited = 0;
    cr_assert_eq(call.kind, OWNERSHIP_CALL_READ);
    for (uint64_t number = call.from; number <= last && visited >= 0; number++) {
        int result = ownership_on_batch(node, number, batches[number - 1].data, batches[number - 1].bytes);
        visited = result < 0 ? result : visited + 1;
    }
    ownership_on_read(node, visited);
}

/* Reads until there is nothing to read. */
static void look(struct ownership *node)
{
    for (uint32_t reads = 0; next(node).kind == OWNERSHIP_CALL_READ; reads++) {
        cr_assert_lt(reads, BATCHES_MAX);
        read_once(node);
    }
}

/* The node's next call is an append. `lands`: the log takes it if it is expected; `is_known`: the node learns that. */
static void append_once(struct ownership *node, bool lands, bool is_known)
{
    struct ownership_call call = next(node);
    cr_assert_eq(call.kind, OWNERSHIP_CALL_APPEND);
    bool fits = is_expected(&call);
    if (lands && fits)
        put(call.data, call.bytes);
    enum log_append_result known = fits ? LOG_APPEND_ACKED : LOG_APPEND_REFUSED;
    ownership_on_append(node, is_known ? known : LOG_APPEND_UNKNOWN);
}

/* Applies what may be applied. How many records that were. */
static uint32_t apply(struct ownership *node)
{
    const struct ownership_kept *kept;
    uint32_t records = 0;
    while ((kept = ownership_applicable(node)) != NULL) {
        records += kept->header.record_count;
        ownership_on_applied(node);
    }
    return records;
}

/* Reads and applies to the end. */
static uint32_t follow(struct ownership *node)
{
    uint32_t records = apply(node);
    ownership_on_news(node);
    for (uint32_t reads = 0; next(node).kind == OWNERSHIP_CALL_READ; reads++) {
        cr_assert_lt(reads, BATCHES_MAX);
        read_once(node);
        records += apply(node);
    }
    return records;
}

static void take(struct ownership *node, uint64_t generation)
{
    follow(node);
    cr_assert(ownership_may_take(node));
    cr_assert(ownership_take(node, generation, span_of("wss://here"), 1));
    append_once(node, true, true);
    cr_assert_eq(node->state, OWNERSHIP_OWNS);
    apply(node);
}

static uint64_t seal(struct ownership *node, uint32_t records)
{
    cr_assert(ownership_may_seal(node));
    return ownership_seal(node, payload, 16, records, 1000);
}

static uint64_t seal_acked(struct ownership *node, uint32_t records)
{
    uint64_t number = seal(node, records);
    append_once(node, true, true);
    cr_assert_eq(ownership_committed(node), number);
    return number;
}

Test(log_ownership, an_empty_log_is_taken_and_appended_to)
{
    take(&north, 1);
    cr_assert_eq(seal_acked(&north, 2), 2);
    cr_assert_eq(seal_acked(&north, 1), 3);
    cr_assert_eq(next(&north).kind, OWNERSHIP_CALL_NONE);
    cr_assert_eq(north.applied.number, 3);
}

Test(log_ownership, one_batch_is_in_flight)
{
    take(&north, 1);
    seal(&north, 1);
    cr_assert_not(ownership_may_seal(&north));
    append_once(&north, true, true);
    cr_assert(ownership_may_seal(&north));
}

Test(log_ownership, a_batch_is_applied_when_a_later_one_says_that_it_is_committed)
{
    take(&north, 1);
    seal_acked(&north, 5);
    cr_assert_eq(follow(&south), 0, "the newest batch is not known to be committed");
    cr_assert_eq(south.seen.number, 2);
    cr_assert_eq(south.applied.number, 1);
    seal_acked(&north, 7);
    cr_assert_eq(follow(&south), 5);
}

Test(log_ownership, a_batch_behind_one_of_unknown_outcome_commits_nothing_for_a_reader)
{
    take(&north, 1);
    seal(&north, 5);
    append_once(&north, true, false);
    append_once(&north, true, true);
    look(&north);
    append_once(&north, true, false);
    cr_assert_eq(last, 3, "the empty one");
    cr_assert_eq(follow(&south), 0);
    last = 1; /* a failover drops both */
    append_once(&north, true, true);
    look(&north);
    append_once(&north, true, true);
    cr_assert_eq(follow(&south), 0);
    cr_assert_eq(south.state, OWNERSHIP_FOLLOWS);
}

Test(log_ownership, an_append_of_unknown_outcome_is_sent_again_as_it_was)
{
    take(&north, 1);
    seal(&north, 1);
    struct ownership_call first = next(&north);
    append_once(&north, false, false);
    struct ownership_call again = next(&north);
    cr_assert_eq(memcmp(&first, &again, sizeof first), 0);
    append_once(&north, true, true);
    cr_assert_eq(ownership_committed(&north), 2);
}

Test(log_ownership, one_that_has_landed_is_settled_by_an_empty_batch_behind_it)
{
    take(&north, 1);
    seal(&north, 4);
    append_once(&north, true, false);
    append_once(&north, true, true); /* refused: it is there */
    cr_assert_eq(ownership_committed(&north), 1);
    look(&north);
    cr_assert_eq(ownership_committed(&north), 1, "reading commits nothing");
    append_once(&north, true, true);
    cr_assert_eq(ownership_committed(&north), 3);
    cr_assert_eq(last, 3);
    seal_acked(&north, 1);
    cr_assert_eq(follow(&south), 4);
}

Test(log_ownership, one_that_had_landed_and_was_dropped_is_appended_again)
{
    take(&north, 1);
    seal(&north, 4);
    append_once(&north, true, false);
    append_once(&north, true, true);
    read_once(&north);
    read_once(&north);
    last = 1; /* before the empty one arrives */
    append_once(&north, true, true);
    look(&north);
    append_once(&north, true, true);
    cr_assert_eq(ownership_committed(&north), 2);
    append_once(&north, true, true);
    cr_assert_eq(ownership_committed(&north), 3);
    cr_assert_eq(north.state, OWNERSHIP_OWNS);
}

Test(log_ownership, an_owner_gives_up_after_some_empty_batches)
{
    take(&north, 1);
    seal(&north, 4);
    for (uint32_t i = 0; north.state == OWNERSHIP_OWNS; i++) {
        cr_assert_leq(i, OWNERSHIP_UNSETTLED_MAX);
        append_once(&north, true, false);
        append_once(&north, true, true);
        look(&north);
    }
    cr_assert_eq(north.state, OWNERSHIP_DEPOSED);
    cr_assert_eq(last, 1 + OWNERSHIP_UNSETTLED_MAX);
    take(&south, 2);
    cr_assert_eq(south.applied.number, last);
}

Test(log_ownership, who_finds_another_batch_is_deposed)
{
    take(&north, 1);
    seal_acked(&north, 1);
    take(&south, 2);
    seal(&north, 9);
    append_once(&north, true, true);
    read_once(&north);
    cr_assert_eq(north.state, OWNERSHIP_DEPOSED);
    cr_assert_eq(ownership_committed(&north), 2, "what was not committed is not");
    cr_assert_eq(next(&north).kind, OWNERSHIP_CALL_NONE);
    seal_acked(&south, 1);
}

Test(log_ownership, a_take_commits_what_was_read)
{
    take(&north, 1);
    seal(&north, 6);
    append_once(&north, true, false);
    cr_assert_eq(follow(&south), 0);
    cr_assert(ownership_take(&south, 2, span_of("wss://south"), 1));
    append_once(&south, true, true);
    cr_assert_eq(south.state, OWNERSHIP_OWNS);
    cr_assert_not(ownership_may_seal(&south), "it has not applied all");
    cr_assert_eq(apply(&south), 6);
    cr_assert(ownership_may_seal(&south));
}

Test(log_ownership, a_take_that_is_not_the_first_follows_again)
{
    follow(&north);
    follow(&south);
    cr_assert(ownership_take(&north, 1, span_of("wss://north"), 1));
    cr_assert(ownership_take(&south, 1, span_of("wss://south"), 1));
    append_once(&north, true, true);
    append_once(&south, true, true);
    read_once(&south);
    cr_assert_eq(south.state, OWNERSHIP_FOLLOWS);
    follow(&south);
    cr_assert_str_eq(south.owner, "north");
    cr_assert_str_eq(south.address, "wss://north");
    cr_assert_not(ownership_take(&south, 1, span_of("wss://south"), 1), "the generation is used");
}

Test(log_ownership, a_barrier_is_a_batch_that_is_not_in_flight_yet)
{
    take(&north, 1);
    cr_assert_eq(ownership_barrier(&north), 2);
    seal(&north, 1);
    cr_assert_eq(ownership_barrier(&north), 3);
    append_once(&north, true, true);
    cr_assert_eq(ownership_committed(&north), 2);
    cr_assert_eq(ownership_barrier(&north), 3);
}

Test(log_ownership, a_dropped_batch_that_was_read_is_forgotten)
{
    take(&north, 1);
    seal_acked(&north, 1);
    seal(&north, 5);
    append_once(&north, true, false);
    cr_assert_eq(follow(&south), 1);
    cr_assert_eq(south.seen.number, 3);
    last = 2;
    struct ownership east;
    ownership_init(&east, SLOT, 1, "east", &(struct ownership_mark){0});
    take(&east, 2);
    seal_acked(&east, 8);
    seal_acked(&east, 1);
    cr_assert_eq(follow(&south), 8);
    cr_assert_eq(south.state, OWNERSHIP_FOLLOWS);
    ownership_fini(&east);
}

/* What the node finds when it opens what it holds anew. */
static enum ownership_damage reopen(const struct ownership_mark *held)
{
    ownership_fini(&south);
    ownership_init(&south, SLOT, 1, "south", held);
    follow(&south);
    return south.damage;
}

Test(log_ownership, a_log_that_lost_its_tail_is_refused)
{
    take(&north, 1);
    seal_acked(&north, 1);
    seal_acked(&north, 1);
    struct ownership_mark held = north.applied;
    cr_assert_eq(reopen(&held), OWNERSHIP_DAMAGE_NONE);
    last = 2;
    cr_assert_eq(reopen(&held), OWNERSHIP_DAMAGE_TAIL);
    cr_assert_eq(south.state, OWNERSHIP_DAMAGED);
    cr_assert_not(ownership_may_take(&south));
    seal(&north, 1);
    append_once(&north, true, true);
    read_once(&north);
    cr_assert_eq(north.damage, OWNERSHIP_DAMAGE_TAIL);
}

Test(log_ownership, a_log_with_another_tail_is_refused)
{
    take(&north, 1);
    seal_acked(&north, 1);
    struct ownership_mark held = north.applied;
    last = 1;
    take(&south, 2);
    cr_assert_eq(last, held.number);
    cr_assert_eq(reopen(&held), OWNERSHIP_DAMAGE_CHAIN);
    seal(&north, 1);
    append_once(&north, true, true);
    read_once(&north);
    cr_assert_eq(north.damage, OWNERSHIP_DAMAGE_CHAIN);
}

Test(log_ownership, a_changed_batch_is_refused)
{
    take(&north, 1);
    batches[0].data[50] ^= 1;
    cr_assert_eq(reopen(&(struct ownership_mark){0}), OWNERSHIP_DAMAGE_BATCH);
}

/* A batch behind all others, which its writer should not have appended. */
static enum ownership_damage read_behind(struct log_batch_header header)
{
    uint8_t data[LOG_BATCH_HEADER_BYTES];
    end();
    begin();
    take(&north, 5);
    header.number = 2;
    header.previous = batches[0].hash;
    memcpy(header.node, "west", 5);
    put(data, log_batch_encode(&header, data));
    return reopen(&(struct ownership_mark){0});
}

Test(log_ownership, a_batch_of_another_slot_or_an_older_owner_is_refused)
{
    struct log_batch_header header = {.slot = SLOT, .kind = LOG_BATCH_RECORDS, .generation = 5};
    cr_assert_eq(read_behind(header), OWNERSHIP_DAMAGE_NONE);
    header.slot++;
    cr_assert_eq(read_behind(header), OWNERSHIP_DAMAGE_BATCH);
    header.slot--;
    header.generation = 4;
    cr_assert_eq(read_behind(header), OWNERSHIP_DAMAGE_GENERATION);
    header.generation = 6;
    cr_assert_eq(read_behind(header), OWNERSHIP_DAMAGE_GENERATION, "without a TAKE");
    header.kind = LOG_BATCH_TAKE;
    cr_assert_eq(read_behind(header), OWNERSHIP_DAMAGE_NONE);
    header.generation = 5;
    cr_assert_eq(read_behind(header), OWNERSHIP_DAMAGE_GENERATION, "a second TAKE");
}

Test(log_ownership, a_batch_that_does_not_continue_one_that_is_not_committed_is_damage_too)
{
    take(&north, 1);
    seal(&north, 1);
    append_once(&north, true, true);
    batches[1].data[70] ^= 1; /* the hash of the batch before it */
    memset(batches[1].data + 12, 0, 4);
    bytes_store_le32(batches[1].data + 12, hash_crc32c(0, batches[1].data, batches[1].bytes));
    cr_assert_eq(reopen(&(struct ownership_mark){0}), OWNERSHIP_DAMAGE_CHAIN);
}

Test(log_ownership, a_log_that_begins_behind_what_the_node_holds_is_refused)
{
    cr_assert_eq(next(&south).from, 1);
    ownership_on_read(&south, -ERANGE);
    cr_assert_eq(south.damage, OWNERSHIP_DAMAGE_PURGED);
}

Test(log_ownership, what_the_node_holds_may_be_purged_if_the_log_goes_on_from_there)
{
    take(&north, 1);
    seal_acked(&north, 1);
    struct ownership_mark held = {.number = 1, .generation = 1, .hash = batches[0].hash};
    seal_acked(&north, 1);
    ownership_fini(&south);
    ownership_init(&south, SLOT, 1, "south", &held);
    cr_assert_eq(next(&south).from, 1);
    ownership_on_read(&south, -ERANGE);
    cr_assert_eq(next(&south).from, 2);
    cr_assert_eq(follow(&south), 1);
    cr_assert_eq(south.state, OWNERSHIP_FOLLOWS);
}

Test(log_ownership, an_error_of_the_engine_changes_nothing)
{
    ownership_on_read(&south, -ETIMEDOUT);
    cr_assert_eq(next(&south).kind, OWNERSHIP_CALL_READ);
    take(&north, 1);
    seal(&north, 1);
    struct ownership_call before = next(&north);
    ownership_on_append(&north, LOG_APPEND_FAILED);
    struct ownership_call after = next(&north);
    cr_assert_eq(memcmp(&before, &after, sizeof before), 0);
    append_once(&north, true, false);
    append_once(&north, true, true);
    ownership_on_read(&north, -ECONNABORTED);
    cr_assert_eq(next(&north).kind, OWNERSHIP_CALL_READ);
    cr_assert_eq(north.state, OWNERSHIP_OWNS);
}
