#include "timeline/user.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

#define USER_SLOTS_FIRST 1024u
/* The smallest size that holds a name of ten bytes. */
#define USER_BYTES_FIRST ((offsetof(struct user, name) + 10 + 15) / 16 * 16)
_Static_assert(USER_BYTES_FIRST + (USER_SIZES - 1) * USER_SIZE_STEP >= offsetof(struct user, name) + LIMIT_USER_BYTES,
               "the largest size holds the longest name");

int user_table_init(struct user_table *table, struct hash_key seed)
{
    *table = (struct user_table){.slot_count = USER_SLOTS_FIRST, .seed = seed};
    table->slots = calloc(table->slot_count, sizeof *table->slots);
    for (uint32_t i = 0; i < USER_SIZES; i++)
        pool_init(&table->pools[i], USER_BYTES_FIRST + i * USER_SIZE_STEP);
    return table->slots == NULL ? -ENOMEM : 0;
}

void user_table_fini(struct user_table *table)
{
    free(table->slots);
    table->slots = NULL;
    for (uint32_t i = 0; i < USER_SIZES; i++)
        pool_fini(&table->pools[i]);
}

/* The slot of `name`, or the free one where it would go. */
static uint32_t slot_of(const struct user_table *table, uint32_t hash, struct span name)
{
    ASSERT(table->count < table->slot_count);
    uint32_t mask = table->slot_count - 1;
    uint32_t at = hash & mask;
    while (table->slots[at] != NULL) {
        if (table->slots[at]->hash == hash && span_equal(user_name(table->slots[at]), name))
            break;
        at = (at + 1) & mask;
    }
    return at;
}

static uint32_t hash_of(const struct user_table *table, struct span name)
{
    return (uint32_t)hash_siphash13(table->seed, name);
}

/* Doubles the slots. 0 or -ENOMEM. */
static int grow_table(struct user_table *table)
{
    uint32_t count = table->slot_count * 2;
    struct user **slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < table->slot_count; i++) {
        struct user *user = table->slots[i];
        if (user == NULL)
            continue;
        uint32_t at = user->hash & (count - 1);
        while (slots[at] != NULL)
            at = (at + 1) & (count - 1);
        slots[at] = user;
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    return 0;
}

static struct pool *pool_for(struct user_table *table, size_t name_bytes)
{
    ASSERT(name_bytes <= LIMIT_USER_BYTES);
    size_t bytes = offsetof(struct user, name) + name_bytes;
    size_t over = bytes > USER_BYTES_FIRST ? bytes - USER_BYTES_FIRST : 0;
    return &table->pools[(over + USER_SIZE_STEP - 1) / USER_SIZE_STEP];
}

static struct user *make_user(struct user_table *table, uint32_t hash, struct span name)
{
    struct user *user = pool_take(pool_for(table, name.bytes));
    if (user == NULL)
        return NULL;
    memset(user, 0, offsetof(struct user, name));
    user->refs = 1;
    user->hash = hash;
    user->name_bytes = (uint8_t)name.bytes;
    memcpy(user->name, name.data, name.bytes);
    timeline_init(&user->timeline);
    list_init(&user->conns);
    return user;
}

struct user *user_take(struct user_table *table, struct span name)
{
    ASSERT(name.bytes >= 1 && name.bytes <= LIMIT_USER_BYTES);
    uint32_t hash = hash_of(table, name);
    uint32_t at = slot_of(table, hash, name);
    if (table->slots[at] != NULL)
        return user_ref(table->slots[at]);
    if (table->count * 2 >= table->slot_count) {
        if (grow_table(table) != 0)
            return NULL;
        at = slot_of(table, hash, name);
    }
    struct user *user = make_user(table, hash, name);
    if (user == NULL)
        return NULL;
    table->slots[at] = user;
    table->count++;
    return user;
}

struct user *user_find(const struct user_table *table, struct span name)
{
    ASSERT(name.bytes >= 1 && name.bytes <= LIMIT_USER_BYTES);
    return table->slots[slot_of(table, hash_of(table, name), name)];
}

/* Empties the slot and moves later ones of the same probe sequence up, so that no tombstones are needed (Knuth, 6.4,
 * algorithm R). */
static void empty_slot(struct user_table *table, uint32_t hole)
{
    ASSERT(table->count > 0);
    uint32_t mask = table->slot_count - 1;
    for (uint32_t at = (hole + 1) & mask; table->slots[at] != NULL; at = (at + 1) & mask) {
        uint32_t first = table->slots[at]->hash & mask;
        if (((at - first) & mask) < ((at - hole) & mask))
            continue;
        table->slots[hole] = table->slots[at];
        hole = at;
    }
    table->slots[hole] = NULL;
    table->count--;
}

void user_unref(struct user_table *table, struct user *user)
{
    ASSERT(user->refs > 0);
    if (--user->refs > 0)
        return;
    ASSERT(user->conn_count == 0 && list_is_empty(&user->conns));
    ASSERT(user->keys == NULL);
    ASSERT(user->fanout == NULL);
    ASSERT(list_is_empty(&user->timeline.pending));
    uint32_t slot = slot_of(table, user->hash, user_name(user));
    ASSERT(table->slots[slot] == user);
    empty_slot(table, slot);
    pool_give(pool_for(table, user->name_bytes), user);
}
