-- The load of `POST /api/v1/messages` for wrk: each request is another message between two of 16 users. At the end one
-- line of JSON: requests, seconds, and latency in microseconds; `refused` counts answers other than 200.
local USERS = 16
local text = string.rep("x", 64)
local headers = {["Content-Type"] = "application/json"}
local sent = 0

function request()
    local from = sent % USERS
    local to = (from + 1 + sent % (USERS - 1)) % USERS
    sent = sent + 1
    return wrk.format("POST", nil, headers, string.format('{"from":"user-%d","to":"user-%d","text":"%s"}', from, to, text))
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format('{"acknowledged":%d,"refused":%d,"broken":%d,"seconds":%.6f,"p50":%d,"p99":%d}',
        summary.requests - errors.status, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
