/* What does it cost to insert an entry into a memtable, and to read it, with few busy users and with many? */
#include "storage/memtable/memtable.h"
#include "micro/micro.h"
#include "micro/record.h"

#define ENTRIES 400000u
#define HEAP_BYTES (UINT64_C(512) << 20)

static const struct hash_key name_seed = {1, 2}, key_seed = {3, 4};

struct question {
    struct record_heap *heap;
    struct memtable *table;
    struct record **records; /* owned; ENTRIES, each to a random user */
    uint64_t users;
    uint64_t state;
};

/* Random enough, and the same each time. */
static uint64_t user_at(const struct question *question, uint64_t i)
{
    return (i * UINT64_C(0x9e3779b97f4a7c15) >> 20) % question->users;
}

static void make_records(struct question *question)
{
    for (uint64_t i = 0; i < ENTRIES; i++)
        question->records[i] =
            micro_record(question->heap, question->users, user_at(question, i), 1763900000000000 + 2 * i);
}

static double fill(struct question *question)
{
    micro_must(memtable_open(&question->table, question->heap, name_seed, key_seed));
    double begun = times_now_s();
    for (uint64_t i = 0; i < ENTRIES; i++)
        micro_must(memtable_insert(question->table, question->records[i], ROLE_RECEIVED));
    return (times_now_s() - begun) * 1e9 / ENTRIES;
}

static struct span draw_user(struct question *question, char *name)
{
    int bytes = snprintf(name, 24, "user-%07llu", (unsigned long long)user_at(question, question->state++ % ENTRIES));
    return (struct span){name, (size_t)bytes};
}

static void read_newest_page(void *context, uint64_t rounds)
{
    struct question *question = context;
    struct memtable_hit hits[50];
    char name[24];
    for (uint64_t i = 0; i < rounds; i++) {
        struct span user = draw_user(question, name);
        ASSERT(memtable_range(question->table, user, 0, UINT64_MAX, false, hits, 50) > 0);
    }
}

static void read_newest(void *context, uint64_t rounds)
{
    struct question *question = context;
    char name[24];
    for (uint64_t i = 0; i < rounds; i++) {
        struct span user = draw_user(question, name);
        ASSERT(memtable_newest(question->table, user, UINT64_MAX) > 0);
    }
}

static void ask(struct micro *micro, struct question *question, uint64_t users)
{
    char name[80];
    double ns[MICRO_REPEATS];
    question->users = users;
    make_records(question);
    for (uint32_t i = 0; i < MICRO_REPEATS; i++) {
        memtable_close(&question->table);
        ns[i] = fill(question);
    }
    snprintf(name, sizeof name, "insert an entry, %llu users", (unsigned long long)users);
    micro_add(micro, name, ns, MICRO_REPEATS);
    snprintf(name, sizeof name, "read the newest 50 of a user, %llu users", (unsigned long long)users);
    micro_run(micro, name, 1, read_newest_page, question);
    snprintf(name, sizeof name, "look up the newest ts of a user, %llu users", (unsigned long long)users);
    micro_run(micro, name, 1, read_newest, question);
    memtable_close(&question->table);
    for (uint64_t i = 0; i < ENTRIES; i++)
        record_heap_unref(question->heap, &question->records[i]);
}

int main(void)
{
    struct micro micro = {.program = "memtable"};
    struct question question = {.records = calloc(ENTRIES, sizeof(struct record *))};
    ASSERT(question.records != NULL);
    micro_must(record_heap_open(&question.heap, HEAP_BYTES));
    ask(&micro, &question, 100);
    ask(&micro, &question, 100000);
    record_heap_close(&question.heap);
    free(question.records);
    micro_end(&micro);
    return 0;
}
