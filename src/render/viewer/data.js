// ---- The picture's data: see formats/picture.rs for what they are.

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const binary = atob(base64), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function unpack(text) {
  const stream = new Blob([bytesOf(text.trim())]).stream().pipeThrough(new DecompressionStream('deflate'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let at = bytes.indexOf(10) + 1, length = 0, scale = 1, byte;
  do { byte = bytes[at++]; length += (byte & 127) * scale; scale *= 128; } while (byte & 128);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(at, at + length)));
  at += length;
  const columns = {};
  for (const [name, rows, size] of header.columns) {
    columns[name] = { rows: rows, bytes: bytes.subarray(at, at + size) };
    at += size;
  }
  return { header: header, columns: columns };
}

// The numbers of a column; zeros if it is not there.
function numbers(columns, name, rows, Kind) {
  const out = new Kind(rows), column = columns[name];
  if (!column) return out;
  const bytes = column.bytes;
  // In whole numbers of 32 bits as far as they go: that is several times as fast.
  let at = 0;
  for (let row = 0; row < rows; row++) {
    let byte = bytes[at++], number = byte & 127;
    for (let shift = 7; byte > 127 && shift < 28; shift += 7) { byte = bytes[at++]; number |= (byte & 127) << shift; }
    for (let scale = 268435456; byte > 127; scale *= 128) { byte = bytes[at++]; number += (byte & 127) * scale; }
    out[row] = number;
  }
  return out;
}
// A column of zeros is not there.
function rowsOf(columns, names) { return names.reduce((most, name) => Math.max(most, columns[name] ? columns[name].rows : 0), 0); }
function signed(number) { return number % 2 ? -(number + 1) / 2 : number / 2; }

const USER = 0, KERNEL = 1, INLINED = 2, JIT = 3, TASK = 4, NOTE = 5, OFF_CPU = 6;
const KIND_NAMES = ['user', 'kernel', 'inlined', 'JIT', 'process or thread', 'missing', 'off the CPU'];
const FOUND_BY = ['the sample', 'unwind info', 'Go\u2019s table', 'frame pointer', 'instructions', 'call chain', 'call stack (LBR)', 'the kernel'];

// All that a viewer knows: tables of functions, nodes, threads and samples. Nodes are in pre-order; node 0 is the root.
class Model {
  constructor(data) {
    const header = data.header, columns = data.columns;
    this.header = header;
    this.unit = header.unit;
    this.isDiff = header.kind === 'diff';
    this.scale = header.scale || 1;
    const text = new TextDecoder().decode(columns.text.bytes).split('\n');
    const functions = rowsOf(columns, ['kind', 'name']);
    const strings = name => Array.from(numbers(columns, name, functions, Uint32Array), row => text[row]);
    this.functions = functions;
    this.names = strings('name');
    this.images = strings('image');
    this.files = strings('file');
    this.kinds = numbers(columns, 'kind', functions, Uint8Array);
    this.firstLines = numbers(columns, 'first_line', functions, Uint32Array);
    this.lineCounts = numbers(columns, 'line_count', functions, Uint32Array);
    this.foundBy = numbers(columns, 'found_by', functions, Uint16Array);
    this.readNodes(columns);
    const threads = rowsOf(columns, ['pid', 'tid', 'process']);
    const thread = name => numbers(columns, name, threads, Uint32Array);
    const pids = thread('pid'), tids = thread('tid'), processes = thread('process'), threadNames = thread('thread_name');
    this.threads = Array.from(pids, (pid, i) => ({
      pid: pid | 0, tid: tids[i] | 0, process: text[processes[i]] || '[no name]', name: text[threadNames[i]] || '[no name]', samples: 0, value: 0
    }));
    this.samples = rowsOf(columns, ['node', 'value', 'count']);
    this.isTimed = Boolean(header.timed) && this.samples > 0;
    this.isRead = false;
    this.columns = columns;
  }

  readNodes(columns) {
    const count = Math.max(1, rowsOf(columns, ['up', 'function', 'self']));
    const up = numbers(columns, 'up', count, Uint32Array);
    this.count = count;
    this.func = numbers(columns, 'function', count, Uint32Array);
    this.ownValue = numbers(columns, 'self', count, Float64Array);
    this.ownSamples = numbers(columns, 'samples', count, Float64Array);
    this.ownBase = numbers(columns, 'base', count, Float64Array);
    this.ownBaseSamples = numbers(columns, 'base_samples', count, Float64Array);
    const parent = this.parent = new Int32Array(count), end = this.end = new Int32Array(count), depth = this.depth = new Int32Array(count);
    parent[0] = -1;
    let deepest = 0;
    for (let i = 1; i < count; i++) {
      let above = i - 1;
      for (let n = up[i]; n > 0; n--) { end[above] = i; above = parent[above]; }
      parent[i] = above;
      depth[i] = depth[above] + 1;
      if (depth[i] > deepest) deepest = depth[i];
    }
    for (let i = 0; i < count; i++) if (end[i] === 0) end[i] = count;
    this.deepest = deepest;
  }

  // The samples, when they are first asked for: the first picture does not need them.
  readSamples() {
    if (this.isRead) return;
    this.isRead = true;
    const columns = this.columns, count = this.samples, column = (name, Kind) => numbers(columns, name, count, Kind), header = this.header;
    const time = column('time', Float64Array), thread = column('thread', Uint32Array), value = column('value', Float64Array), counts = column('count', Float64Array);
    const steps = column('node', Float64Array), node = new Uint32Array(count), tick = header.tick || 1, before = new Float64Array(this.threads.length);
    const samples = new Float64Array(this.threads.length), values = new Float64Array(this.threads.length);
    let now = 0;
    for (let i = 0; i < count; i++) {
      const of = thread[i];
      time[i] = now += time[i] * tick;
      node[i] = before[of] += signed(steps[i]);
      samples[of] += counts[i];
      values[of] += value[i];
    }
    this.threads.forEach((known, n) => { known.samples = samples[n]; known.value = values[n]; });
    // Sums have no moment: they are in no lane, in no part of the strip, and in no range of time.
    const read = { sampleTime: time, sampleThread: thread, sampleNode: node, sampleValue: value, sampleCount: counts, unplaced: column('unplaced', Uint8Array), duration: now };
    for (const name of OF_SAMPLES) Object.defineProperty(this, name, { value: read[name], configurable: true, enumerable: true, writable: true });
    this.columns = null;
  }

  // The place of each function in order of name.
  rank() {
    if (!this.ranks) {
      const names = this.names, kinds = this.kinds, order = Array.from({ length: this.functions }, (_, i) => i);
      order.sort((a, b) => names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : kinds[a] - kinds[b]);
      this.ranks = new Int32Array(this.functions);
      order.forEach((func, place) => { this.ranks[func] = place; });
    }
    return this.ranks;
  }

  name(node) { return this.names[this.func[node]]; }

  // What tells a function from its siblings: its name, and its kind if that is not the usual one. No name holds that character.
  key(func) {
    const kind = this.kinds[func];
    return kind === KERNEL || kind === INLINED || kind === JIT ? this.names[func] + '\u0001' + kind : this.names[func];
  }

  // The keys from the root's callee to `node`.
  path(node) {
    const names = [];
    for (let at = node; at > 0; at = this.parent[at]) names.push(this.key(this.func[at]));
    return names.reverse();
  }
}
const OF_SAMPLES = ['sampleTime', 'sampleThread', 'sampleNode', 'sampleValue', 'sampleCount', 'unplaced', 'duration'];
for (const name of OF_SAMPLES) Object.defineProperty(Model.prototype, name, { get() { this.readSamples(); return this[name]; }, configurable: true });
