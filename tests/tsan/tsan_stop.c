/* A server is stopped under load, three times on the same data: writers fill memory and segments, so that checkpoints,
 * merges and the recycler have work; readers ask for pages and replays (the reader thread). What was acknowledged is
 * stored at the next start. */
#include "server_fixture.h"

enum { LIVES = 3, WRITERS = 4, READERS = 2, WINDOW = 24, TEXT_BYTES = 1500, LIFE_US = 4000000 };

struct person {
    struct fixture *fixture;
    unsigned index;
    atomic_uint acknowledged; /* sends, each in the timelines of a box and of the writer */
    atomic_uint pages;
};

static void *write_texts(void *argument)
{
    struct person *person = argument;
    char user[16], frame[TEXT_BYTES + 128], filling[TEXT_BYTES + 1];
    memset(filling, 'x', TEXT_BYTES);
    filling[TEXT_BYTES] = '\0';
    snprintf(user, sizeof user, "writer%u", person->index);
    struct fixture_client *client = client_open(person->fixture, user, "");
    bool is_open = client_flush(client) && client_take_head(client) && client_await(client, "ok", 1);
    while (is_open) {
        for (unsigned k = 1; k <= WINDOW; k++) {
            snprintf(frame, sizeof frame, "{\"op\":\"send\",\"id\":%u,\"to\":\"box%u\",\"text\":\"%s\"}", k, k % 4,
                     filling);
            client_frame(client, frame);
        }
        is_open = client_flush(client);
        for (unsigned k = 0; k < WINDOW && is_open; k++) {
            int good = client_await_replies(client, 1);
            is_open = good >= 0;
            person->acknowledged += good > 0;
        }
    }
    client_close(client);
    return NULL;
}

static void *read_pages(void *argument)
{
    struct person *person = argument;
    for (bool is_open = true; is_open;) {
        struct fixture_client *client =
            client_open(person->fixture, person->index % 2 == 0 ? "box1" : "writer1", ",\"after\":0");
        if (client == NULL)
            return NULL;
        client_frame(client, "{\"op\":\"history\",\"id\":1,\"limit\":100}");
        client_frame(client, "{\"op\":\"history\",\"id\":2,\"after\":0,\"limit\":100,\"with\":\"writer2\"}");
        is_open = client_flush(client) && client_take_head(client) && client_await(client, "history", 2);
        person->pages += 2 * is_open;
        client_close(client);
    }
    return NULL;
}

/* Whether the writers have had a send acknowledged, and the readers a page. */
static bool is_under_load(struct person *people)
{
    unsigned acknowledged = 0, pages = 0;
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        acknowledged += atomic_load(&people[i].acknowledged);
        pages += atomic_load(&people[i].pages);
    }
    return acknowledged > 0 && pages > 0;
}

/* Load for LIFE_US, on a slow machine longer; then SIGTERM, which ends all connections with 1001. */
static unsigned one_life(struct fixture *fixture)
{
    struct person people[WRITERS + READERS];
    pthread_t threads[WRITERS + READERS];
    unsigned acknowledged = 0, pages = 0;
    fixture_start(fixture, "3");
    struct fixture_client *first = client_open(fixture, "first", "");
    ASSERT(client_flush(first) && client_take_head(first) && client_await(first, "ok", 1));
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        people[i] = (struct person){.fixture = fixture, .index = i};
        ASSERT(pthread_create(&threads[i], NULL, i < WRITERS ? write_texts : read_pages, &people[i]) == 0);
    }
    do
        usleep(LIFE_US);
    while (!is_under_load(people));
    atomic_store(&fixture->is_stopping, true);
    kill(getpid(), SIGTERM);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        acknowledged += people[i].acknowledged;
    }
    for (unsigned i = WRITERS; i < WRITERS + READERS; i++) {
        pthread_join(threads[i], NULL);
        pages += people[i].pages;
    }
    client_close(first);
    pthread_join(fixture->thread, NULL);
    ASSERT(fixture->code == 0 && acknowledged > 0 && pages > 0);
    return acknowledged;
}

static unsigned count_entries(struct fixture *fixture, const char *user)
{
    unsigned count = 0;
    size_t bytes;
    const char *frame;
    struct fixture_client *client = client_open(fixture, user, ",\"after\":0");
    ASSERT(client_flush(client) && client_take_head(client));
    while ((frame = client_next(client, &bytes)) != NULL && memcmp(frame, "{\"op\":\"live\"", 12) != 0)
        count += memcmp(frame, "{\"op\":\"msg\"", 11) == 0;
    ASSERT(frame != NULL);
    client_close(client);
    return count;
}

int main(void)
{
    static struct fixture fixture;
    unsigned acknowledged = 0, stored = 0;
    fixture_init(&fixture);
    for (int life = 0; life < LIVES; life++)
        acknowledged += one_life(&fixture);
    fixture_start(&fixture, "3");
    for (int i = 0; i < 4; i++) {
        char user[16];
        snprintf(user, sizeof user, "box%d", i);
        stored += count_entries(&fixture, user);
    }
    fixture_stop(&fixture);
    fixture_fini(&fixture);
    printf("%d stops under load: %u acknowledged, %u stored\n", LIVES, acknowledged, stored);
    ASSERT(stored >= acknowledged);
    return 0;
}
