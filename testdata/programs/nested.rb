# ruby nested.rb SECONDS: main calls outer, outer calls middle, middle calls hot; a sort calls back.
def hot(turns, x)
  turns.times { x = (x * 1664525 + 1013904223) & 0xffffffff }
  x
end

def middle(x)
  (0...10).sum { |i| hot(100, x + i) }
end

def sorts(x)
  (0...200).map { |i| (x * 31 + i).to_s(16) }.sort_by { |word| word.reverse }.first.length
end

def outer(till)
  x = 1
  x = middle(x) + sorts(x) while Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) < till
  x
end

warn outer(Float(ARGV[0] || 1))
