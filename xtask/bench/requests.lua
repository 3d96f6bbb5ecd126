-- Sends the requests that a file lists, one a line: method, path and (after a tab each) an optional body.
-- Arguments behind `--`: the file, the bearer token. Each thread begins at another place of the list.
local requests, position, threads = {}, 0, 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  local headers = { ["Authorization"] = "Bearer " .. arguments[2], ["Content-Type"] = "application/fhir+json" }
  for line in io.lines(arguments[1]) do
    local method, path, body = line:match("^(%S+)\t([^\t]+)\t?(.*)$")
    if body == "" then body = nil end
    requests[#requests + 1] = wrk.format(method, path, headers, body)
  end
  position = number * 7919 % #requests
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency, calls)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
