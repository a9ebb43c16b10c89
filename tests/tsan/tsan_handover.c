/* Connections are handed over to the shard of their user under load: upgrade, login and sends come in one write, so
 * that unread frames go along; others send to the same users all the time. Every send is answered. */
#include "server_fixture.h"

enum { VISITORS = 4, VISITS = 60, SENDS = 20, FLOODERS = 2, FLOOD = 32, USERS = 12 };

struct visitor {
    struct fixture *fixture;
    unsigned index;
    atomic_bool *is_done;
    unsigned stored;
};

static void put_send(struct fixture_client *client, unsigned id, unsigned to)
{
    char frame[160];
    snprintf(frame, sizeof frame, "{\"op\":\"send\",\"id\":%u,\"to\":\"user%u\",\"text\":\"a text of some length\"}",
             id, to % USERS);
    client_frame(client, frame);
}

static void *visit(void *argument)
{
    struct visitor *visitor = argument;
    for (unsigned i = 0; i < VISITS; i++) {
        char user[16];
        snprintf(user, sizeof user, "user%u", (visitor->index * 5 + i) % USERS);
        struct fixture_client *client = client_open(visitor->fixture, user, i % 3 == 0 ? ",\"after\":0" : "");
        for (unsigned k = 1; k <= SENDS; k++)
            put_send(client, k, visitor->index + i + k);
        ASSERT(client_flush(client) && client_take_head(client));
        if (i % 5 != 4) { /* else the client leaves during the handover */
            int good = client_await_replies(client, 1 + SENDS);
            ASSERT(good >= 1);
            visitor->stored += (unsigned)good - 1;
        }
        client_close(client);
    }
    return NULL;
}

static void *flood(void *argument)
{
    struct visitor *visitor = argument;
    struct fixture_client *client = client_open(visitor->fixture, visitor->index == 0 ? "flood0" : "flood1", "");
    ASSERT(client_flush(client) && client_take_head(client) && client_await(client, "ok", 1));
    for (unsigned turn = 0; !atomic_load(visitor->is_done); turn++) {
        for (unsigned k = 0; k < FLOOD; k++)
            put_send(client, k + 1, turn + k);
        ASSERT(client_flush(client));
        int good = client_await_replies(client, FLOOD);
        ASSERT(good >= 0);
        visitor->stored += (unsigned)good;
    }
    client_close(client);
    return NULL;
}

int main(void)
{
    static struct fixture fixture;
    atomic_bool is_done = false;
    struct visitor visitors[VISITORS + FLOODERS];
    pthread_t threads[VISITORS + FLOODERS];
    unsigned visited = 0, flooded = 0;
    fixture_init(&fixture);
    fixture_start(&fixture, "4");
    for (unsigned i = 0; i < VISITORS + FLOODERS; i++) {
        visitors[i] = (struct visitor){&fixture, i < VISITORS ? i : i - VISITORS, &is_done, 0};
        ASSERT(pthread_create(&threads[i], NULL, i < VISITORS ? visit : flood, &visitors[i]) == 0);
    }
    for (unsigned i = 0; i < VISITORS + FLOODERS; i++) {
        if (i == VISITORS)
            atomic_store(&is_done, true);
        pthread_join(threads[i], NULL);
        *(i < VISITORS ? &visited : &flooded) += visitors[i].stored;
    }
    fixture_stop(&fixture);
    fixture_fini(&fixture);
    ASSERT(visited > 0 && flooded > 0);
    printf("%d connections handed over, %u of their sends stored beside %u others\n", VISITORS * VISITS, visited,
           flooded);
    return 0;
}
