// ---- Over time: the flame chart, a lane a thread, and the strip of activity in which a range is chosen.

// The samples of each thread in order, and how long one stands for: its period, or the usual distance to the next.
Viewer.prototype.lanes = function () {
  if (this.laneList) return this.laneList;
  this.base.readSamples();
  const model = this.base, header = model.header, { sampleCount, unplaced, sampleThread, sampleTime, sampleValue } = model;
  const ends = new Int32Array(model.threads.length + 1), isPlaced = s => sampleCount[s] > 0 && !unplaced[s];
  for (let s = 0; s < model.samples; s++) if (isPlaced(s)) ends[sampleThread[s] + 1]++;
  for (let thread = 0; thread < model.threads.length; thread++) ends[thread + 1] += ends[thread];
  const all = new Int32Array(ends[model.threads.length]), filled = ends.slice();
  for (let s = 0; s < model.samples; s++) if (isPlaced(s)) all[filled[sampleThread[s]]++] = s;
  const of = model.threads.map((_, thread) => all.subarray(ends[thread], ends[thread + 1]));
  let length = header.unit === 'ns' && header.period ? header.period : 0;
  if (!length) {
    const distances = [];
    for (const list of of) {
      for (let n = 1; n < list.length && distances.length < 20000; n++) {
        const distance = sampleTime[list[n]] - sampleTime[list[n - 1]];
        if (distance > 0) distances.push(distance);
      }
    }
    distances.sort((a, b) => a - b);
    length = distances.length ? distances[distances.length >> 1] : model.duration / 100 || 1;
  }
  this.sampleLength = length;
  this.isWait = header.unit === 'ns' && header.event === 'off-cpu';
  // Where the last one ends.
  this.chartEnd = Math.max(model.duration, 1) + (this.isWait ? 0 : length / 2);
  if (this.isWait) for (const s of all) this.chartEnd = Math.max(this.chartEnd, sampleTime[s] + sampleValue[s]);
  this.laneList = of.map((samples, thread) => ({ thread: thread, samples: samples, value: model.threads[thread].value }))
    .filter(lane => lane.samples.length).sort((a, b) => b.value - a.value || a.thread - b.thread);
  if (header.beside) this.pairLanes(header.beside);
  return this.laneList;
};

// Threads of one name of two sides below each other, the base first, as `beside.rs` has them.
Viewer.prototype.pairLanes = function (marks) {
  const plain = name => name.slice((marks.find(mark => name.startsWith(mark)) || '').length), values = new Map();
  for (const lane of this.laneList) {
    const { process, name } = this.base.threads[lane.thread];
    lane.key = plain(process) + '\n' + plain(name);
    lane.side = name.startsWith(marks[1]) ? 1 : 0;
    values.set(lane.key, Math.max(values.get(lane.key) || 0, lane.value));
  }
  this.laneList.sort((a, b) => values.get(b.key) - values.get(a.key) || (a.key < b.key ? -1 : a.key > b.key ? 1 : a.side - b.side));
};

Viewer.prototype.chartRange = function () {
  const state = this.state, lanes = this.lanes();
  if (state.span) return state.span;
  return state.from !== null ? [state.from, state.to] : [lanes.length && !this.isWait ? -this.sampleLength / 2 : 0, this.chartEnd];
};

Viewer.prototype.layoutChart = function (boxes, width) {
  const model = this.base, state = this.state, [from, to] = this.chartRange(), scale = width / (to - from);
  const wanted = state.threads ? new Set(state.threads) : null;
  this.drawnTrees = [];
  this.spans = [];
  this.zoomed = 0;
  let row = 0;
  for (const lane of this.lanes()) {
    if (wanted && !wanted.has(lane.thread)) continue;
    const thread = model.threads[lane.thread];
    this.laneNames.set(row, thread.name + '-' + thread.tid + (thread.name !== thread.process ? ' (' + thread.process + ')' : '') + ' \u00b7 ' + quantity(thread.value, this.base.unit) + ', ' + countOf(thread.samples, 'sample'));
    while (boxes.rows.length <= row) boxes.rows.push([]);
    row = this.layoutLane(boxes, lane, row + 1, from, to, scale) + 1;
  }
  while (boxes.rows.length < row) boxes.rows.push([]);
};

// As `analyze/timeline.rs` places them: a sample is the middle of its length, neighbours touch in the middle between them, and where the
// next is further away than one and a half lengths there is a gap. A wait begins at its time and has its length.
class Lane {
  constructor(viewer, thread, samples) {
    this.model = viewer.base; this.thread = thread; this.samples = samples; this.length = viewer.sampleLength; this.isWait = viewer.isWait;
  }
  begins(n) {
    const times = this.model.sampleTime, samples = this.samples, time = times[samples[n]], last = n > 0 ? times[samples[n - 1]] : -Infinity;
    return this.isWait ? time : time - last <= 1.5 * this.length ? (last + time) / 2 : time - this.length / 2;
  }
  ends(n) {
    const times = this.model.sampleTime, samples = this.samples, time = times[samples[n]], next = n + 1 < samples.length ? times[samples[n + 1]] : Infinity;
    return this.isWait ? time + this.model.sampleValue[samples[n]] : next - time <= 1.5 * this.length ? (time + next) / 2 : time + this.length / 2;
  }
  // The first sample at `time` or later.
  find(time) {
    let low = 0, high = this.samples.length;
    while (low < high) { const middle = (low + high) >> 1; if (this.model.sampleTime[this.samples[middle]] < time) low = middle + 1; else high = middle; }
    return low;
  }
  // The whole of a span: what was laid out begins and ends with a piece, and the samples beside it may be of the span too.
  whole(span) {
    const model = this.model, isOf = n => n >= 0 && n < this.samples.length && model.sampleNode[this.samples[n]] >= span.node && model.sampleNode[this.samples[n]] < model.end[span.node];
    let first = span.first, last = span.last, value = 0;
    while (isOf(first - 1) && this.begins(first) <= this.ends(first - 1)) first--;
    while (isOf(last + 1) && this.begins(last + 1) <= this.ends(last)) last++;
    for (let n = first; n <= last; n++) value += model.sampleValue[this.samples[n]];
    return { node: span.node, from: this.begins(first), to: this.ends(last), samples: last - first + 1, value: value, thread: this.thread };
  }
}

// Samples that share less than half a pixel are a piece: of what is below the innermost frame that all of them have, none can be seen, and
// it is gathered. Zoomed in, each sample is a piece.
Viewer.prototype.layoutLane = function (boxes, { thread, samples }, row, from, to, scale) {
  const model = this.base, dropped = this.weights.dropped, { parent, end, depth: depthOf, sampleNode } = model;
  const lane = new Lane(this, thread, dropped ? samples.filter(s => !dropped[sampleNode[s]]) : samples), all = lane.samples, count = all.length, times = model.sampleTime;
  const spans = new OpenSpans(model, from, to, scale, (depth, x, w, node, number, first, last) => {
    this.spans[boxes.add(row + depth, x, w, node, 0, number)] = number ? null : { node: node, first: first, last: last, lane: lane };
  });
  const ofDepth = new Int32Array(model.deepest + 2);
  for (let n = Math.max(0, lane.find(from) - 1); n < count;) {
    const first = n, begins = lane.begins(n);
    let ends = lane.ends(n), node = sampleNode[all[n]];
    if (begins >= to) break;
    let least = node, most = node, isWhole = true, deepest = 0;
    const edge = begins + LEAST / scale;
    for (n++; n < count && times[all[n]] < edge; n++) {
      const nextEnds = lane.ends(n);
      if (!(nextEnds < edge)) break;
      if (times[all[n]] > ends && lane.begins(n) > ends) isWhole = false;
      const next = sampleNode[all[n]], depth = depthOf[next];
      if (next < least) least = next; else if (next > most) most = next;
      if (depth > deepest) deepest = depth;
      ofDepth[depth]++;
      ends = Math.max(ends, nextEnds);
    }
    if (n === first + 1) { spans.add(first, n, node, begins, ends); continue; }
    const depth = depthOf[node];
    if (depth > deepest) deepest = depth;
    ofDepth[depth]++;
    // The frame that they share: where the paths of the first and the last in pre-order meet.
    node = isWhole ? least : 0;
    while (node > 0 && most >= end[node]) node = parent[node];
    spans.add(first, n, node, begins, ends);
    const shared = Math.max(0, depthOf[node] - 1);
    // The process is not drawn: the outermost row is of depth 2.
    for (let level = deepest - 2, number = 0; level >= 0; level--) {
      number += ofDepth[level + 2];
      ofDepth[level + 2] = 0;
      if (level >= shared) spans.gather(level, level + 1, (begins - from) * scale, (ends - begins) * scale, number);
    }
    ofDepth[0] = ofDepth[1] = 0;
  }
  spans.end();
  // Runs and spans of a row come in order of their ends.
  for (let at = row; at < row + spans.deepest; at++) if (boxes.rows[at]) boxes.rows[at].sort((a, b) => boxes.x[a] - boxes.x[b]);
  return row + spans.deepest;
};

// The open spans of a lane, by depth: their node, when they began, and with which sample. Those from `fresh` on began with the last piece.
// Beside them the runs of what is too short: where they begin and end, and of how many samples.
class OpenSpans {
  constructor(model, from, to, scale, draw) {
    const deep = model.deepest + 1;
    this.model = model; this.from = from; this.to = to; this.scale = scale; this.draw = draw;
    this.nodes = new Int32Array(deep); this.begun = new Float64Array(deep); this.firsts = new Int32Array(deep);
    this.runAt = new Float64Array(deep); this.runEnd = new Float64Array(deep); this.runCount = new Int32Array(deep);
    this.deepest = this.open = this.fresh = this.freshBegun = this.last = 0;
    this.before = -Infinity;
  }

  // A piece, of samples from `first` on to before `past`: the frames that it shares with the one before stay open, those that its node is below.
  add(first, past, node, begins, ends) {
    const { parent, end } = this.model, { nodes, begun, firsts } = this, depth = Math.max(0, this.model.depth[node] - 1);
    let common = 0;
    if (begins <= this.before) {
      for (let beyond = Math.min(this.open, depth); common < beyond;) {
        const middle = (common + beyond) >> 1, above = nodes[middle];
        if (above <= node && node < end[above]) common = middle + 1; else beyond = middle;
      }
    }
    if (this.open > common) this.close(common);
    for (let level = depth - 1, at = node; level >= common; level--, at = parent[at]) { nodes[level] = at; begun[level] = begins; firsts[level] = first; }
    this.open = depth;
    this.fresh = common; this.freshBegun = begins;
    this.before = ends;
    this.last = past - 1;
  }

  close(depth) {
    const shift = this.from, scale = this.scale, before = this.before, w = (before - this.freshBegun) * scale;
    if (this.open > this.deepest) this.deepest = this.open;
    // What lasted for one short piece, as most do where there are many.
    if (w < LEAST && this.fresh < this.open) {
      const first = Math.max(depth, this.fresh);
      this.gather(first, this.open, (this.freshBegun - shift) * scale, w, this.last - this.firsts[first] + 1);
      this.open = first;
    }
    while (this.open > depth) {
      const at = --this.open, begun = this.begun[at], x = (begun - shift) * scale, w = (before - begun) * scale;
      if (w < LEAST) { this.gather(at, at + 1, x, w, this.last - this.firsts[at] + 1); continue; }
      this.flush(at);
      const left = Math.max(x, -2), right = Math.min(x + w, (this.to - shift) * scale + 2);
      if (right > left) this.draw(at, left, right - left, this.nodes[at], 0, this.firsts[at], this.last);
    }
  }

  gather(first, last, x, w, count) {
    const { runAt, runEnd, runCount } = this, ends = x + w;
    if (last > this.deepest) this.deepest = last;
    for (let at = first; at < last; at++) {
      if (runCount[at] > 0 && x - runEnd[at] > 1) this.flush(at);
      if (runCount[at] === 0) runAt[at] = x;
      runCount[at] += count;
      runEnd[at] = ends;
    }
  }

  flush(depth) {
    if (!this.runCount[depth]) return;
    this.draw(depth, this.runAt[depth], Math.max(this.runEnd[depth] - this.runAt[depth], 0.3), -1, this.runCount[depth]);
    this.runCount[depth] = 0;
  }

  end() {
    this.close(0);
    for (let depth = 0; depth < this.deepest; depth++) this.flush(depth);
  }
}

Viewer.prototype.describeSpan = function (box) {
  if (!this.spans[box]) return [countOf(this.boxes.count[box], 'sample') + ' too short to be drawn', 'Zoom in to see them.'];
  const model = this.model, span = this.spans[box].lane.whole(this.spans[box]), func = model.func[span.node], thread = model.threads[span.thread];
  return [model.names[func]].concat(this.gate ? this.gate.tell(this.knownOf(box), model.names[func]) : [], quantity(span.to - span.from, 'ns') + ' from ' + quantity(Math.max(0, span.from), 'ns') + ' \u00b7 ' + countOf(span.samples, 'sample') + ', ' + quantity(span.value, this.base.unit) +
    ' \u00b7 ' + thread.name + '-' + thread.tid, this.placeOf(func)).filter(Boolean);
};

Viewer.prototype.zoomSpan = function (box) {
  if (!this.spans[box]) return;
  const span = this.spans[box].lane.whole(this.spans[box]);
  this.go({ span: [Math.max(0, span.from), span.to] });
};
Viewer.prototype.zoomChart = function (factor, x) {
  if (this.state.view !== 'chart') return;
  const [from, to] = this.chartRange(), at = from + (to - from) * (x === undefined ? 0.5 : x / this.width);
  const wide = Math.min((to - from) * factor, this.chartEnd + this.sampleLength);
  if (wide < 1000) return;
  const begin = Math.max(-this.sampleLength, Math.min(at - (at - from) * factor, this.chartEnd - wide));
  this.go({ span: [Math.max(0, begin), Math.max(0, begin) + wide] }, true);
};
Viewer.prototype.panChart = function (by) {
  const [from, to] = this.chartRange(), shift = Math.max(-Math.max(from, 0), Math.min(-by * (to - from) / this.width, this.chartEnd - to));
  if (shift) this.go({ span: [Math.max(0, from + shift), to + shift] }, true);
};

// ---- The strip.

Viewer.prototype.drawStrip = function () {
  const strip = this.strip;
  if (!strip) return;
  // The frames are to be seen first.
  if (!this.base.isRead) {
    if (!this.isStripDue) requestAnimationFrame(() => setTimeout(() => { this.base.readSamples(); this.drawStrip(); }, 60));
    this.isStripDue = true;
    return;
  }
  const ratio = Math.min(3, window.devicePixelRatio || 1), wide = strip.clientWidth || 300, tall = 44;
  strip.width = Math.round(wide * ratio);
  strip.height = Math.round(tall * ratio);
  const context = strip.getContext('2d'), model = this.base, duration = Math.max(model.duration, 1), style = getComputedStyle(this.app);
  if (!context) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = style.getPropertyValue('--panel');
  context.fillRect(0, 0, wide, tall);
  const bins = Math.max(1, Math.floor(wide / 3)), isMarked = Boolean(this.matches) && this.model === this.base;
  const key = JSON.stringify([bins, this.state.threads, isMarked && this.matchKey]);
  if (!this.stripSums || this.stripSums.key !== key) this.stripSums = Object.assign(this.sumStrip(bins, isMarked), { key: key });
  const { sums, matched, most } = this.stripSums;
  for (let bin = 0; bin < bins; bin++) {
    const h = sums[bin] / most * (tall - 16), m = matched[bin] / most * (tall - 16);
    context.fillStyle = this.isDark() ? '#8f8fa3' : '#9a9aa8';
    context.fillRect(bin * wide / bins, tall - h, wide / bins - 0.5, h);
    context.fillStyle = TERM_COLOURS[0];
    context.fillRect(bin * wide / bins, tall - m, wide / bins - 0.5, m);
  }
  context.fillStyle = style.getPropertyValue('--soft');
  context.font = '11px system-ui,sans-serif';
  context.fillText('0', 3, 11);
  const end = quantity(duration, 'ns');
  context.fillText(end, wide - context.measureText(end).width - 3, 11);
  const range = this.dragged || (this.state.from !== null ? [this.state.from, this.state.to] : this.state.view === 'chart' && this.state.span);
  if (range) {
    const x = range[0] / duration * wide, w = (range[1] - range[0]) / duration * wide;
    context.fillStyle = 'rgba(39,64,201,.22)';
    context.fillRect(x, 0, Math.max(w, 1), tall);
    context.strokeStyle = '#2740c9';
    context.strokeRect(x + 0.5, 0.5, Math.max(w - 1, 1), tall - 1);
    context.fillStyle = style.getPropertyValue('--ink');
    context.fillText(quantity(range[0], 'ns') + ' \u2026 ' + quantity(range[1], 'ns'), Math.min(x + 3, wide - 120), 11);
  }
};
// What was sampled in each of so many parts of the time, and how much of it matches.
Viewer.prototype.sumStrip = function (bins, isMarked) {
  const model = this.base, sums = new Float64Array(bins), matched = new Float64Array(bins), isMatched = isMarked ? this.matchedNodes() : null;
  const wanted = this.state.threads ? new Uint8Array(model.threads.length) : null, scale = bins / Math.max(model.duration, 1);
  if (wanted) for (const thread of this.state.threads) wanted[thread] = 1;
  const { sampleTime, sampleThread, sampleValue, sampleNode, unplaced } = model;
  // Where a bin has few samples, each is spread over the time that it stands for: steps of the rate would be seen instead of the load.
  const header = model.header, wide = model.samples < 40 * bins && header.unit === 'ns' && header.period ? header.period * scale : 0;
  const put = (to, at, value) => {
    if (!(wide > 0)) { to[Math.max(0, Math.min(bins - 1, Math.floor(at)))] += value; return; }
    const from = Math.max(0, at - wide / 2), past = Math.min(bins, at + wide / 2);
    for (let bin = Math.floor(from); bin < past; bin++) to[bin] += value * (Math.min(bin + 1, past) - Math.max(bin, from)) / (past - from);
  };
  for (let s = 0; s < model.samples; s++) {
    if ((wanted && !wanted[sampleThread[s]]) || unplaced[s]) continue;
    put(sums, sampleTime[s] * scale, sampleValue[s]);
    if (isMatched && isMatched[sampleNode[s]]) put(matched, sampleTime[s] * scale, sampleValue[s]);
  }
  return { sums: sums, matched: matched, most: sums.reduce((a, b) => Math.max(a, b), 0) || 1 };
};
Viewer.prototype.matchedNodes = function () {
  const model = this.base, hit = new Uint8Array(model.count);
  for (let i = 1; i < model.count; i++) hit[i] = hit[model.parent[i]] || this.matches[model.func[i]] ? 1 : 0;
  return hit;
};
Viewer.prototype.listenStrip = function () {
  const strip = this.strip;
  let begin = null;
  const time = event => {
    const frame = strip.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - frame.left) / frame.width)) * this.base.duration;
  };
  strip.addEventListener('pointerdown', event => { begin = { time: time(event), x: event.clientX }; try { strip.setPointerCapture(event.pointerId); } catch (error) { begin.free = true; } });
  strip.addEventListener('pointermove', event => {
    if (!begin) return;
    const at = time(event);
    this.dragged = [Math.min(begin.time, at), Math.max(begin.time, at)];
    this.drawStrip();
  });
  strip.addEventListener('pointerup', event => {
    if (!begin) return;
    const range = this.dragged;
    this.dragged = null;
    const isClick = Math.abs(event.clientX - begin.x) < 3;
    begin = null;
    if (isClick || !range || range[1] - range[0] < 1) this.go({ from: null, to: null, span: null });
    else this.go({ from: range[0], to: range[1], span: null });
  });
};
