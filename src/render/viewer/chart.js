// ---- Over time: the flame chart, a lane a thread, and the strip of activity in which a range is chosen.

// The samples of each thread in order, and how long one stands for: its period, or the usual distance to the next.
Viewer.prototype.lanes = function () {
  if (this.laneList) return this.laneList;
  const model = this.base, of = model.threads.map(() => []);
  for (let s = 0; s < model.samples; s++) if (model.sampleCount[s] > 0 && !model.unplaced[s]) of[model.sampleThread[s]].push(s);
  const header = model.header;
  let length = header.unit === 'ns' && header.period ? header.period : 0;
  if (!length) {
    const distances = [];
    for (const list of of) for (let n = 1; n < list.length && distances.length < 20000; n++) distances.push(model.sampleTime[list[n]] - model.sampleTime[list[n - 1]]);
    distances.sort((a, b) => a - b);
    length = distances.length ? distances[distances.length >> 1] : model.duration / 100 || 1;
  }
  this.sampleLength = length;
  this.isWait = header.unit === 'ns' && !header.period;
  this.laneList = of.map((samples, thread) => ({ thread: thread, samples: samples, value: model.threads[thread].value }))
    .filter(lane => lane.samples.length).sort((a, b) => b.value - a.value || a.thread - b.thread);
  return this.laneList;
};

Viewer.prototype.chartRange = function () {
  const state = this.state, lanes = this.lanes();
  if (state.span) return state.span;
  return state.from !== null ? [state.from, state.to] : [lanes.length && !this.isWait ? -this.sampleLength / 2 : 0, Math.max(this.base.duration, 1) + this.sampleLength / 2];
};

Viewer.prototype.layoutChart = function (boxes, width) {
  const model = this.base, state = this.state, [from, to] = this.chartRange(), scale = width / (to - from);
  const wanted = state.threads ? new Set(state.threads) : null;
  this.trees0 = [];
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
Viewer.prototype.layoutLane = function (boxes, lane, row, from, to, scale) {
  const dropped = this.weights.dropped;
  const model = this.base, samples = dropped ? lane.samples.filter(s => !dropped[model.sampleNode[s]]) : lane.samples, times = model.sampleTime, length = this.sampleLength, isWait = this.isWait;
  let low = 0, high = samples.length;
  while (low < high) { const middle = (low + high) >> 1; if (times[samples[middle]] < from) low = middle + 1; else high = middle; }
  low = Math.max(0, low - 1);
  // The open spans, by depth: their node, when they began, with which sample, and the value of all samples before it.
  const nodes = [], begun = [], firsts = [], sums = [], small = [];
  let deepest = 0, before = -Infinity, sum = 0, open = 0;
  const flush = depth => {
    const run = small[depth];
    if (run && run.count) {
      const box = boxes.add(row + depth, run.x, Math.max(run.end - run.x, 0.3), -1, 0, run.count);
      this.spans[box] = null;
      run.count = 0;
    }
  };
  const close = (depth, n) => {
    if (open > deepest) deepest = open;
    while (open > depth) {
      const at = --open, x = (begun[at] - from) * scale, w = (before - begun[at]) * scale;
      const run = small[at] || (small[at] = { x: 0, end: 0, count: 0 });
      if (w < LEAST) {
        if (run.count && x - run.end > 1) flush(at);
        if (!run.count) run.x = x;
        run.end = x + w;
        run.count++;
        continue;
      }
      flush(at);
      const box = boxes.add(row + at, Math.max(x, -2), Math.min(w, (to - from) * scale + 4), nodes[at], 0, 0);
      this.spans[box] = { node: nodes[at], from: begun[at], to: before, samples: n - firsts[at], value: sum - sums[at], thread: lane.thread };
    }
  };
  const { parent, depth: depthOf, sampleNode, sampleValue } = model, far = 1.5 * length;
  let n = low;
  for (; n < samples.length; n++) {
    const s = samples[n], time = times[s];
    const last = n > 0 ? times[samples[n - 1]] : -Infinity, next = n + 1 < samples.length ? times[samples[n + 1]] : Infinity;
    const begins = isWait ? time : time - last <= far ? (last + time) / 2 : time - length / 2;
    const ends = isWait ? time + sampleValue[s] : next - time <= far ? (time + next) / 2 : time + length / 2;
    if (begins >= to) break;
    // The frames that it shares with the sample before stay open: those from where the two paths meet.
    let at = sampleNode[s];
    const depth = Math.max(0, depthOf[at] - 1);
    let common = depth;
    while (common > 0 && (begins > before || common > open || nodes[common - 1] !== at)) { at = parent[at]; common--; }
    close(common, n);
    at = sampleNode[s];
    for (let level = depth - 1; level >= common; level--, at = parent[at]) { nodes[level] = at; begun[level] = begins; firsts[level] = n; sums[level] = sum; }
    open = depth;
    sum += sampleValue[s];
    before = ends;
  }
  close(0, n);
  small.forEach((_, depth) => flush(depth));
  // Runs and spans of a row come in order of their ends.
  for (let at = row; at < row + deepest; at++) if (boxes.rows[at]) boxes.rows[at].sort((a, b) => boxes.x[a] - boxes.x[b]);
  return row + deepest;
};

Viewer.prototype.describeSpan = function (box) {
  const model = this.base, span = this.spans[box];
  if (!span) return [countOf(this.boxes.count[box], 'span') + ' too short to be drawn', 'Zoom in to see them.'];
  const func = model.func[span.node], thread = model.threads[span.thread];
  return [model.names[func], quantity(span.to - span.from, 'ns') + ' from ' + quantity(Math.max(0, span.from), 'ns') + ' \u00b7 ' + countOf(span.samples, 'sample') + ', ' + quantity(span.value, this.base.unit) +
    ' \u00b7 ' + thread.name + '-' + thread.tid, this.placeOf(func)].filter(Boolean);
};

Viewer.prototype.zoomSpan = function (box) {
  const span = this.spans[box];
  if (span) this.go({ span: [Math.max(0, span.from), span.to] });
};
Viewer.prototype.zoomChart = function (factor, x) {
  if (this.state.view !== 'chart') return;
  const [from, to] = this.chartRange(), at = from + (to - from) * (x === undefined ? 0.5 : x / this.width);
  const wide = Math.min((to - from) * factor, this.base.duration + this.sampleLength);
  if (wide < 1000) return;
  const begin = Math.max(-this.sampleLength, Math.min(at - (at - from) * factor, this.base.duration - wide));
  this.go({ span: [Math.max(0, begin), Math.max(0, begin) + wide] }, true);
};
Viewer.prototype.panChart = function (by) {
  const [from, to] = this.chartRange(), shift = Math.max(-Math.max(from, 0), Math.min(-by * (to - from) / this.width, this.base.duration - to));
  if (shift) this.go({ span: [Math.max(0, from + shift), to + shift] }, true);
};

// ---- The strip.

Viewer.prototype.drawStrip = function () {
  const strip = this.strip;
  if (!strip) return;
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
  const { sampleTime, sampleThread, sampleValue, sampleNode } = model;
  for (let s = 0; s < model.samples; s++) {
    if ((wanted && !wanted[sampleThread[s]]) || model.unplaced[s]) continue;
    const bin = Math.min(bins - 1, Math.floor(sampleTime[s] * scale));
    sums[bin] += sampleValue[s];
    if (isMatched && isMatched[sampleNode[s]]) matched[bin] += sampleValue[s];
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
