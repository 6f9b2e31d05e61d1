-- For scripts/soak: checks that every reply is 200 and has one version of the file, which repeats one block of 32 bytes.
local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init()
    checked, wrong = 0, 0
end

function response(status, _, body)
    checked = checked + 1
    if status ~= 200 or body ~= string.rep(string.sub(body, 1, 32), 128) then
        wrong = wrong + 1
    end
end

function done(summary)
    local checked, wrong, errors = 0, 0, summary.errors
    for _, thread in ipairs(threads) do
        checked, wrong = checked + thread:get("checked"), wrong + thread:get("wrong")
    end
    io.write(string.format("checked %d wrong %d failed %d\n", checked, wrong, errors.connect + errors.read + errors.write + errors.timeout))
end
