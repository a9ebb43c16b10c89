#include "timeline/in_flight.h"

#include "base/fair_share.h"
#include "server/core.h"

/* Whether there is one more of `max`. */
static bool has_one(uint32_t taken, uint32_t max, uint32_t unanswered)
{
    return taken < max && fair_share_admits(fair_share_in_flight(unanswered), max - taken, max / FAIR_SHARE_RESERVE);
}

bool in_flight_has_place(const struct core *core, uint32_t taken, uint32_t unanswered)
{
    return has_one(taken, core->budget.deliveries_max, unanswered);
}

bool in_flight_may_go_out(const struct core *core, const struct delivery *delivery)
{
    const struct core_peer *peer = &core->peers[delivery->to_shard];
    uint32_t sends_max = delivery->to_shard == core->index ? CORE_SENDS_WITHIN_MAX : CORE_SENDS_OUT_MAX;
    uint32_t bytes = record_body_bytes(delivery->entry.record);
    uint64_t cost_bytes = fair_share_in_flight(delivery->unanswered) * bytes;
    ASSERT(peer->send_bytes_out <= CORE_SEND_BYTES_OUT_MAX);
    uint32_t room_bytes = CORE_SEND_BYTES_OUT_MAX - peer->send_bytes_out;
    return has_one(peer->sends_out, sends_max, delivery->unanswered) && bytes <= room_bytes
           && fair_share_admits(cost_bytes, room_bytes, CORE_SEND_BYTES_OUT_MAX / FAIR_SHARE_RESERVE);
}

void in_flight_add(struct core *core, const struct record *record)
{
    core->deliveries.in_flight_bytes += record_entry_bytes(record);
}

void in_flight_remove(struct core *core, const struct record *record)
{
    ASSERT(core->deliveries.in_flight_bytes >= record_entry_bytes(record));
    core->deliveries.in_flight_bytes -= record_entry_bytes(record);
}
