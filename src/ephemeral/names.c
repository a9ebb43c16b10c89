#include "ephemeral/names.h"

#include <stdlib.h>

#include "base/assert.h"

#define SLOTS_FIRST 64u

void names_init(struct names *names, struct hash_key seed)
{
    *names = (struct names){.seed = seed};
}

void names_fini(struct names *names)
{
    free(names->slots);
    names->slots = NULL;
    names->slot_count = names->count = 0;
}

static struct name **slot_of(const struct names *names, uint64_t hash)
{
    return &names->slots[hash & (names->slot_count - 1)];
}

struct name *names_find(const struct names *names, struct span text)
{
    if (names->count == 0)
        return NULL;
    uint64_t hash = hash_siphash13(names->seed, text);
    struct name *name = *slot_of(names, hash);
    while (name != NULL && (name->hash != hash || !span_equal(name->text, text)))
        name = name->next;
    return name;
}

/* Doubles the slots. Without memory the table stays as it is, which is slower. */
static void grow(struct names *names)
{
    struct names larger = {.slot_count = names->slot_count == 0 ? SLOTS_FIRST : 2 * names->slot_count};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        return;
    for (uint32_t i = 0; i < names->slot_count; i++)
        for (struct name *name = names->slots[i], *next; name != NULL; name = next) {
            struct name **slot = slot_of(&larger, name->hash);
            next = name->next;
            name->next = *slot;
            *slot = name;
        }
    free(names->slots);
    names->slots = larger.slots;
    names->slot_count = larger.slot_count;
}

bool names_add(struct names *names, struct name *name)
{
    if (names->count >= names->slot_count)
        grow(names);
    if (names->slots == NULL)
        return false;
    name->hash = hash_siphash13(names->seed, name->text);
    struct name **slot = slot_of(names, name->hash);
    name->next = *slot;
    *slot = name;
    names->count++;
    return true;
}

void names_remove(struct names *names, struct name *name)
{
    ASSERT(names->count > 0);
    struct name **at = slot_of(names, name->hash);
    while (*at != name) {
        ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = name->next;
    names->count--;
}

struct name *names_any(const struct names *names)
{
    for (uint32_t i = 0; names->count > 0 && i < names->slot_count; i++)
        if (names->slots[i] != NULL)
            return names->slots[i];
    return NULL;
}
