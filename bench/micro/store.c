/* micro_store DIR: what does a read of the store cost, with warm caches, if the rows of a user are in one run (written
 * below DIR), and if each page is gathered from 16 runs? */
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

int main(int argc, char **argv)
{
    struct micro micro = {.program = "store"};
    ask(&micro, 1, 100, argc, argv);
    ask(&micro, 16, 100, argc, argv);
    ask(&micro, 16, 4, argc, argv);
    micro_end(&micro);
    return 0;
}
