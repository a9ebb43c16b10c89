#include "ephemeral/conversations.h"

#include <errno.h>
#include <stdlib.h>

#include "history/range_read.h"
#include "protocol/request.h"
#include "server/core.h"

#define PAGE_ENTRIES 256u
#define PAGE_BYTES (64u << 10)

/* A user of the list. */
struct candidate {
    struct name name;
    bool is_listed; /* in `names`: false if the list has named them before */
    bool is_peer;
};

struct conversations {
    struct core *core;
    struct user *user; /* a reference */
    struct list link;  /* in core->conversations.queue */
    void (*done)(void *context, int result);
    void *context;
    struct range_read *read; /* NULL: no page */
    bool is_reading;         /* the reader has it */
    int result;              /* of the page */
    uint64_t before;         /* what is left of the timeline */
    uint32_t left;           /* users that are not found yet */
    uint64_t bytes;          /* counted */
    struct names names;
    char *texts; /* behind the list */
    uint32_t count;
    struct candidate list[];
};

void conversations_init(struct conversation_checks *checks)
{
    list_init(&checks->queue);
}

/* Adds the user, whose name is copied to `text`. False: no memory. */
static bool add(struct conversations *check, struct span user, char *text)
{
    struct candidate *candidate = &check->list[check->count++];
    memcpy(text, user.data, user.bytes);
    *candidate = (struct candidate){.name = {.text = {text, user.bytes}}};
    if (names_find(&check->names, user) != NULL)
        return true;
    candidate->is_listed = true;
    check->left++;
    return names_add(&check->names, &candidate->name);
}

static bool add_all(struct conversations *check, struct span users)
{
    struct span user;
    char *text = check->texts;
    while (request_next_user(&users, &user)) {
        if (!add(check, user, text))
            return false;
        text += user.bytes;
    }
    return true;
}

struct conversations *conversations_begin(struct core *core, struct user *user, const struct request_watch *asked,
                                          void (*done)(void *context, int result), void *context)
{
    uint64_t list_bytes = asked->count * (sizeof(struct candidate) + NAMES_OVERHEAD_BYTES);
    uint64_t bytes = sizeof(struct conversations) + list_bytes + asked->users.bytes;
    if (!presence_take_bytes(core, bytes))
        return NULL;
    struct conversations *check = malloc(bytes);
    if (check == NULL) {
        presence_give_bytes(core, bytes);
        return NULL;
    }
    *check = (struct conversations){.core = core,
                                    .user = user_ref(user),
                                    .done = done,
                                    .context = context,
                                    .before = reads_bound(core, user),
                                    .bytes = bytes};
    check->texts = (char *)&check->list[asked->count];
    list_init(&check->link);
    names_init(&check->names, core_table_seed(core));
    if (!add_all(check, asked->users)) {
        conversations_close(&check);
        return NULL;
    }
    list_append(&core->conversations.queue, &check->link);
    return check;
}

bool conversations_next(const struct conversations *check, uint32_t *index_r, struct span *user_r)
{
    while (*index_r < check->count) {
        const struct candidate *candidate = &check->list[(*index_r)++];
        if (candidate->is_peer) {
            *user_r = candidate->name.text;
            return true;
        }
    }
    return false;
}

void conversations_close(struct conversations **check_p)
{
    struct conversations *check = *check_p;
    *check_p = NULL;
    if (check == NULL)
        return;
    list_remove(&check->link);
    range_read_close(&check->read);
    names_fini(&check->names);
    presence_give_bytes(check->core, check->bytes);
    user_unref(&check->core->users, check->user);
    free(check);
}

static void note_peer(struct conversations *check, const struct message *message)
{
    struct span user = user_name(check->user);
    struct name *name = names_find(&check->names, span_equal(message->from, user) ? message->to : message->from);
    struct candidate *candidate = name == NULL ? NULL : container_of(name, struct candidate, name);
    if (candidate == NULL || candidate->is_peer)
        return;
    candidate->is_peer = true;
    check->left--;
}

static void take_up(struct core *core, struct conversations *check)
{
    uint32_t count = 0;
    bool more = false;
    if (check->result == 0) {
        const struct message *messages = range_read_messages(check->read, &count, &more);
        for (uint32_t i = 0; i < count; i++)
            note_peer(check, &messages[i]);
        if (count > 0)
            check->before = messages[0].ts;
    }
    range_read_close(&check->read);
    turn_spend(&core->turn, TURN_READS, TURN_PAGE_READS + count);
    if (check->result != 0 || check->left == 0 || !more || count == 0)
        check->done(check->context, check->result);
    else
        list_append(&core->conversations.queue, &check->link);
}

static void on_page(void *context, int result)
{
    struct conversations *check = context;
    ASSERT(check->is_reading);
    check->is_reading = false;
    check->result = result;
    list_append(&check->core->conversations.queue, &check->link);
}

static void read_page(struct core *core, struct conversations *check)
{
    struct store_range range = {.before = check->before, .rows_max = PAGE_ENTRIES, .bytes_max = PAGE_BYTES};
    check->read = range_read_open(core, user_name(check->user), &range, NULL);
    if (check->read == NULL) {
        check->done(check->context, -ENOMEM);
        return;
    }
    if (range_read_needs_runs(check->read)) {
        check->is_reading = true;
        range_read_post(check->read, READS_REPLAY, on_page, check);
        return;
    }
    take_up(core, check);
}

void conversations_step(struct core *core)
{
    struct list *at;
    ASSERT_ON_SHARD(core->shard);
    while (turn_may_carry(&core->turn, TURN_READS) && (at = list_shift(&core->conversations.queue)) != NULL) {
        struct conversations *check = container_of(at, struct conversations, link);
        ASSERT(!check->is_reading);
        if (check->read != NULL)
            take_up(core, check);
        else
            read_page(core, check);
    }
}
