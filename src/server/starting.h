/*
 * starting.h: the admin addresses while the server reads its data, which may take minutes: no shard runs yet. A thread
 * answers each request with Connection: close: /livez with 200, lest a supervisor restarts the server again and
 * again, all others with 503 and the error `starting`. By TLS, too, with what tls_context.h has at the time of the
 * connection; plain HTTP in its place gets the 400 that the shards give. Main's thread.
 *
 * A node of a cluster that does not own its slots answers on the addresses for clients too: it completes the upgrade of
 * a WebSocket and closes it with 1001. The reason is the address of the owner, once that is known. From then on the
 * error is `standby`, and the message has that address.
 *
 * /metrics is answered on the addresses of starting_show_metrics, to who may ask there (http/credential.h).
 *
 * Clients are served side by side, each for STARTING_CLIENT_MS at most, however slowly its bytes come; those with TLS
 * for STARTING_TLS_CLIENT_MS, since a handshake goes back and forth. When there are STARTING_CLIENTS_MAX and one more
 * comes, the oldest is closed. Nothing waits for a client: neither another one, nor starting_close.
 */
#ifndef CHITCHAT_SERVER_STARTING_H
#define CHITCHAT_SERVER_STARTING_H

#include <stdbool.h>
#include <stdint.h>

#define STARTING_CLIENT_MS 500u
#define STARTING_TLS_CLIENT_MS 2000u
#define STARTING_CLIENTS_MAX 64u

struct server;
struct starting;
struct tls_context;

/* Begins to answer on `count` listening descriptors, borrowed until starting_close; with_tls[i % listen_count] says
 * whether descriptor i speaks TLS, with the certificate of `tls`, which is borrowed as well; NULL: none does.
 * `with_tls` is copied. 0 or -errno; the caller closes *starting_r. */
int starting_open(struct starting **starting_r, const int *fds, uint32_t count, const bool *with_tls,
                  uint32_t listen_count, struct tls_context *tls);
/* Where the owner of the slots is reached: the reason with which WebSockets are closed from now on. Copied. "", or one
 * that is longer than a reason may be: it is not known. NULL as `starting` is fine. */
void starting_say_owner(struct starting *starting, const char *address);
/* From now on /metrics has what metrics_text.h writes of `server`, which is borrowed until starting_close. */
void starting_show_metrics(struct starting *starting, const struct server *server);
/* Stops: requests that have come are answered, other clients are closed, connections that come later wait for the
 * shards. Nulls *starting; NULL is fine. */
void starting_close(struct starting **starting);

#endif
