#include "cli/chat_talks.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static struct chat_talk *talk_of(const struct list *link)
{
    return container_of(link, struct chat_talk, link);
}

void chat_talks_init(struct chat_talks *talks)
{
    list_init(&talks->all);
}

void chat_talks_fini(struct chat_talks *talks)
{
    struct list *link;
    while ((link = list_shift(&talks->all)) != NULL)
        free(talk_of(link));
}

struct chat_talk *chat_talks_next(const struct chat_talks *talks, const struct chat_talk *talk)
{
    const struct list *next = talk == NULL ? talks->all.next : talk->link.next;
    return next == &talks->all ? NULL : talk_of(next);
}

struct chat_talk *chat_talks_take(struct chat_talks *talks, const char *user)
{
    ASSERT(strlen(user) <= LIMIT_USER_BYTES);
    struct chat_talk *talk = NULL;
    while ((talk = chat_talks_next(talks, talk)) != NULL)
        if (strcmp(talk->user, user) == 0)
            return talk;
    talk = calloc(1, sizeof *talk);
    ASSERT(talk != NULL);
    strcpy(talk->user, user);
    list_init(&talk->link);
    list_append(&talks->all, &talk->link);
    return talk;
}

void chat_talks_note(struct chat_talks *talks, struct chat_talk *talk, const struct client_message *message,
                     bool is_sent, bool is_shown)
{
    ASSERT(list_is_linked(&talk->link));
    list_remove(&talk->link);
    list_prepend(&talks->all, &talk->link);
    if (is_sent) {
        talk->sent_ts = message->ts;
        return;
    }
    talk->received_ts = message->ts;
    talk->typing_until_ms = 0;
    if (!is_shown && talk->unseen < CHAT_UNSEEN_MAX)
        talk->unseen++;
}

static uint64_t number(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

/* From the newest conversation to the oldest: each goes behind the one before it. */
void chat_talks_take_page(struct chat_talks *talks, const json_t *peers)
{
    struct list *place = &talks->all;
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *peer = json_array_get(peers, i);
        const char *user = json_string_value(json_object_get(peer, "user"));
        if (user == NULL || strlen(user) > LIMIT_USER_BYTES)
            continue;
        struct chat_talk *talk = chat_talks_take(talks, user);
        list_remove(&talk->link);
        list_insert_before(place->next, &talk->link);
        place = &talk->link;
        uint64_t unseen = number(peer, "unseen");
        talk->unseen = unseen < CHAT_UNSEEN_MAX ? (uint32_t)unseen : CHAT_UNSEEN_MAX;
        talk->seen_by_ts = number(peer, "seen_by");
    }
}

void chat_talk_seen(struct chat_talk *talk, uint64_t ts)
{
    if (ts >= talk->received_ts)
        talk->unseen = 0;
}

bool chat_talk_seen_by(struct chat_talk *talk, uint64_t ts)
{
    if (ts > talk->seen_by_ts)
        talk->seen_by_ts = ts;
    if (talk->sent_ts == 0 || talk->seen_by_ts < talk->sent_ts || talk->shown_seen_ts >= talk->sent_ts)
        return false;
    talk->shown_seen_ts = talk->sent_ts;
    return true;
}

void chat_talks_reset(struct chat_talks *talks)
{
    struct chat_talk *talk = NULL;
    while ((talk = chat_talks_next(talks, talk)) != NULL) {
        talk->unseen = 0;
        talk->received_ts = talk->sent_ts = talk->seen_by_ts = talk->shown_seen_ts = talk->oldest_ts = 0;
    }
}
