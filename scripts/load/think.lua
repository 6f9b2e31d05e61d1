-- For scripts/cluster: prints how many requests failed, by kind, and the 99th percentile of the latency. The argument is the longest time between two requests of a
-- connection in milliseconds; 0 for none.
local longest = 0

function init(arguments)
    longest = tonumber(arguments[1]) or 0
    math.randomseed(os.time())
    if longest > 0 then
        delay = function()
            return math.random(longest)
        end
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("p99 %d us\n", latency:percentile(99)))
    io.write(string.format(
        "requests %d connect %d read %d write %d timeout %d status %d\n",
        summary.requests, errors.connect, errors.read, errors.write, errors.timeout, errors.status
    ))
end
