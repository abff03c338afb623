-- luajit nested.lua SECONDS: main calls outer, outer calls middle, middle calls hot; a sort calls back.
local function hot(turns, x)
  for i = 1, turns do x = (x * 16645 + 10139 + i) % 4294967296 end
  return x
end

local function middle(x)
  local sum = 0
  for i = 1, 10 do sum = sum + hot(100, x + i) end
  return sum % 4294967296
end

local function sorts(x)
  local words = {}
  for i = 1, 200 do words[i] = string.format("%x", (x * 31 + i) % 65536) end
  table.sort(words, function(a, b) return a < b end)
  return #words[1]
end

local function outer(seconds)
  local x = 1
  while os.clock() < seconds do x = middle(x) + sorts(x) end
  return x
end

io.stderr:write(outer(tonumber(arg[1] or "1")), "\n")
