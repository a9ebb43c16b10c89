/* micro_store DIR: what does a read of the store cost, with warm caches, if the rows of a user are in one run (written
 * below DIR), and if each page is gathered from 16 runs? And what do a page of one conversation and a page of all cost?
 */
#include "micro/store.h"

#define USERS 1000u

struct question {
    struct store_reader *reader;
    struct store_page *page;
    struct store_range range;
    uint64_t state;
};

static struct span draw_user(struct question *question, char *name)
{
    uint64_t user = (question->state++ * UINT64_C(0x9e3779b97f4a7c15) >> 20) % USERS;
    return (struct span){name, (size_t)snprintf(name, 24, "user-%07llu", (unsigned long long)user)};
}

static void read_page(void *context, uint64_t rounds)
{
    struct question *question = context;
    char name[24];
    bool more;
    for (uint64_t i = 0; i < rounds; i++) {
        struct span user = draw_user(question, name);
        micro_must(store_reader_range(question->reader, user, &question->range, question->page, &more));
        ASSERT(store_page_count(question->page) > 0);
    }
}

static void read_newest(void *context, uint64_t rounds)
{
    struct question *question = context;
    char name[24];
    uint64_t ts;
    for (uint64_t i = 0; i < rounds; i++) {
        micro_must(store_reader_newest(question->reader, draw_user(question, name), UINT64_MAX, &ts));
        ASSERT(ts > 0);
    }
}

/* `rows`: how many each user has in each run, on average. */
static void ask(struct micro *micro, uint32_t runs, uint32_t rows, int argc, char **argv)
{
    struct micro_store store;
    struct question question = {.range = {.before = UINT64_MAX, .rows_max = 50, .bytes_max = 1 << 20}};
    char name[80];
    micro_store_open(&store, argc, argv);
    for (uint32_t i = 0; i < runs; i++) {
        struct memtable *table = micro_store_fill(&store, USERS, USERS * rows / 2);
        micro_store_write(&store, table);
        memtable_close(&table);
    }
    micro_must(store_page_open(&question.page));
    micro_must(store_reader_open(&question.reader, store.store));
    snprintf(name, sizeof name, "newest 50 of a user, %u in each of %u run%s", rows, runs, runs == 1 ? "" : "s");
    micro_run(micro, name, 1, read_page, &question);
    question.range.oldest_first = true;
    snprintf(name, sizeof name, "oldest 50 of a user, %u in each of %u run%s", rows, runs, runs == 1 ? "" : "s");
    micro_run(micro, name, 1, read_page, &question);
    snprintf(name, sizeof name, "newest ts of a user, %u run%s", runs, runs == 1 ? "" : "s");
    micro_run(micro, name, 1, read_newest, &question);
    store_reader_close(&question.reader);
    store_page_close(&question.page);
    micro_store_close(&store);
}

/* -- conversations -- */

#define PAIRS_PEERS 10000u
#define PAIRS_RECORDS 1000000u
#define ASKED_PEERS 64u /* so that the pages of all are soon in the cache */
#define PAGE_PEERS 50u

/* A frozen memtable of `records` messages between user-0000000 and `peers` others. */
static struct memtable *fill_pairs(struct micro_store *store, uint64_t peers, uint64_t records)
{
    struct memtable *table;
    micro_must(memtable_open(&table, store->heap, (struct hash_key){1, 2}, (struct hash_key){3, 4}));
    for (uint64_t i = 0; i < records; i++) {
        uint64_t peer = 1 + i * 7919 % peers;
        bool is_sent = i / peers % 2 == 0;
        struct record *record = micro_record(store->heap, is_sent ? 0 : peer, is_sent ? peer : 0, store->ts);
        micro_must(memtable_insert(table, record, is_sent ? ROLE_SENT : ROLE_RECEIVED));
        record_heap_unref(store->heap, &record);
        store->ts += 2;
    }
    memtable_freeze(table);
    return table;
}

static void write_pairs(struct micro_store *store, uint64_t peers, uint64_t records)
{
    struct memtable *table = fill_pairs(store, peers, records);
    micro_store_write(store, table);
    memtable_close(&table);
}

static void read_with(void *context, uint64_t rounds)
{
    struct question *question = context;
    char name[24];
    bool more;
    uint64_t bound;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t peer = 1 + question->state++ % ASKED_PEERS;
        struct store_with with = {{name, (size_t)snprintf(name, sizeof name, "user-%07llu", (unsigned long long)peer)},
                                  false};
        micro_must(store_reader_with(question->reader, SPAN_LITERAL("user-0000000"), &with, &question->range,
                                     question->page, &bound, &more));
        ASSERT(store_page_count(question->page) > 0);
    }
}

static void read_plain(void *context, uint64_t rounds)
{
    struct question *question = context;
    bool more;
    for (uint64_t i = 0; i < rounds; i++)
        micro_must(store_reader_range(question->reader, SPAN_LITERAL("user-0000000"), &question->range, question->page,
                                      &more));
}

static void ask_with(struct micro *micro, int argc, char **argv)
{
    struct micro_store store;
    struct question question = {.range = {.before = UINT64_MAX, .rows_max = 50, .bytes_max = 1 << 20}};
    micro_store_open(&store, argc, argv);
    write_pairs(&store, PAIRS_PEERS, PAIRS_RECORDS);
    micro_must(store_page_open(&question.page));
    micro_must(store_reader_open(&question.reader, store.store));
    micro_run(micro, "newest 50 of a user with 1 M in 1 run", 1, read_plain, &question);
    read_with(&question, 3 * ASKED_PEERS);
    micro_run(micro, "newest 50 with one of their 10,000 peers", 1, read_with, &question);
    store_reader_close(&question.reader);
    store_page_close(&question.page);
    micro_store_close(&store);
}

struct peers_question {
    struct store *store;
    struct store_reader *reader;
    uint64_t user; /* of read_all_peers: whose page is next */
};

/* Returns the `before` of the next page; UINT64_MAX: that was the last. */
static uint64_t read_peers_page(const struct peers_question *question, uint64_t user, uint64_t before)
{
    struct store_peers_query query = {.bound = UINT64_MAX, .before = before, .limit = PAGE_PEERS};
    struct store_peers *peers;
    struct store_peer last;
    char name[24];
    struct span span = {name, (size_t)snprintf(name, sizeof name, "user-%07llu", (unsigned long long)user)};
    int more;
    micro_must(store_peers_open(&peers, question->store, span, &query));
    while ((more = store_peers_step(peers, question->reader)) == 1)
        continue;
    micro_must(more);
    ASSERT(store_peers_count(peers) == PAGE_PEERS);
    store_peers_get(peers, PAGE_PEERS - 1, &last);
    uint64_t next = store_peers_more(peers) ? last.newest : UINT64_MAX;
    store_peers_close(&peers);
    return next;
}

static void read_peers(void *context, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++)
        (void)read_peers_page(context, 0, UINT64_MAX);
}

static void ask_peers(struct micro *micro, uint32_t runs, uint64_t records, int argc, char **argv)
{
    struct micro_store store;
    struct peers_question question = {.user = 0};
    char name[80];
    micro_store_open(&store, argc, argv);
    for (uint32_t i = 0; i < runs; i++)
        write_pairs(&store, PAGE_PEERS, records);
    question.store = store.store;
    micro_must(store_reader_open(&question.reader, store.store));
    snprintf(name, sizeof name, "page of 50 conversations, %llu entries in each of %u runs",
             (unsigned long long)records, runs);
    micro_run(micro, name, 1, read_peers, &question);
    store_reader_close(&question.reader);
    micro_store_close(&store);
}

/* Messages between each of FULL_USERS and FULL_PEERS others; every FULL_MARKS-th is one that was seen. */
#define FULL_USERS 50u
#define FULL_PEERS 1000u
#define FULL_RECORDS 750u
#define FULL_MARKS 20u

static void add_conversations(struct micro_store *store, struct memtable *table, uint64_t user)
{
    char name[24], peer_name[24];
    struct span span = {name, (size_t)snprintf(name, sizeof name, "user-%07llu", (unsigned long long)user)};
    for (uint64_t i = 0; i < FULL_RECORDS; i++, store->ts += 2) {
        uint64_t peer = FULL_USERS + (store->ts * UINT64_C(0x9e3779b97f4a7c15) >> 20) % FULL_PEERS;
        bool is_sent = i % 2 == 0;
        struct record *record = micro_record(store->heap, is_sent ? user : peer, is_sent ? peer : user, store->ts);
        micro_must(memtable_insert(table, record, is_sent ? ROLE_SENT : ROLE_RECEIVED));
        record_heap_unref(store->heap, &record);
        int bytes = snprintf(peer_name, sizeof peer_name, "user-%07llu", (unsigned long long)peer);
        if (i % FULL_MARKS == 1)
            micro_must(memtable_mark(table, span, (struct span){peer_name, (size_t)bytes},
                                     (struct seen_marks){.seen = store->ts}));
    }
}

#define FULL_PAGES (FULL_PEERS / PAGE_PEERS)

/* All pages of one user, then, in the next round, of another. */
static void read_all_peers(void *context, uint64_t rounds)
{
    struct peers_question *question = context;
    for (uint64_t i = 0; i < rounds; i++, question->user = (question->user + 1) % FULL_USERS) {
        uint64_t before = UINT64_MAX;
        for (uint32_t page = 0; page < FULL_PAGES; page++)
            before = read_peers_page(question, question->user, before);
        ASSERT(before == UINT64_MAX);
    }
}

static void ask_full(struct micro *micro, uint32_t runs, int argc, char **argv)
{
    struct micro_store store;
    struct peers_question question = {.user = 0};
    micro_store_open(&store, argc, argv);
    for (uint32_t i = 0; i < runs; i++) {
        struct memtable *table;
        micro_must(memtable_open(&table, store.heap, (struct hash_key){1, 2}, (struct hash_key){3, 4}));
        for (uint64_t user = 0; user < FULL_USERS; user++)
            add_conversations(&store, table, user);
        memtable_freeze(table);
        micro_store_write(&store, table);
        memtable_close(&table);
    }
    question.store = store.store;
    micro_must(store_reader_open(&question.reader, store.store));
    micro_run(micro, "page of 50 of 1,000 conversations in 16 runs, marks", 1, read_peers, &question);
    micro_run(micro, "the same, all 20 pages of 50 users", FULL_PAGES, read_all_peers, &question);
    store_reader_close(&question.reader);
    micro_store_close(&store);
}

int main(int argc, char **argv)
{
    struct micro micro = {.program = "store", .counts_cpu = true};
    ask(&micro, 1, 100, argc, argv);
    ask(&micro, 16, 100, argc, argv);
    ask(&micro, 16, 4, argc, argv);
    ask_with(&micro, argc, argv);
    ask_peers(&micro, 1, 400, argc, argv);
    ask_peers(&micro, 16, 100, argc, argv);
    ask_peers(&micro, 16, 400, argc, argv);
    ask_full(&micro, 16, argc, argv);
    micro_end(&micro);
    return 0;
}
