// ---- What is said of a frame, of all frames (legend), and to who cannot see them.

Viewer.prototype.mergedText = function (box) {
  const boxes = this.boxes, tree = this.drawnTrees[boxes.tree[box]], count = boxes.count[box];
  if (!tree) return countOf(count, 'sample') + ' too short to be drawn';
  const whole = tree.width(tree.root), share = whole > 0 ? boxes.w[box] / this.width * tree.width(this.zoomed || 0) / whole : 0;
  return grouped(count) + ' smaller: ' + percent(share);
};

// The lines for a box: its name, then numbers, then where it is from.
Viewer.prototype.describe = function (box) {
  const boxes = this.boxes, model = this.model, unit = this.base.unit;
  const tree = this.drawnTrees[boxes.tree[box]], node = boxes.node[box];
  if (!tree) return this.describeSpan(box);
  if (boxes.count[box]) return [this.mergedText(box), 'Zoom into the frame below to see them.'];
  const func = tree.func(node), value = tree.value(node), samples = tree.samples(node), total = this.weights.total[0];
  const lines = [model.names[func]], numbers = [];
  const share = (part, whole) => whole > 0 ? percent(part / whole) : '0 %';
  if (this.base.isDiff) {
    // With runs all is held against the whole of the base, as `of total` is.
    const base = tree.base(node), baseTotal = this.weights.base[0], whole = this.gate ? baseTotal : total;
    const points = (whole > 0 ? value / whole : 0) - (baseTotal > 0 ? base / baseTotal : 0);
    const ratio = base > 0 ? ' (' + (value >= base ? '+' : '\u2212') + Math.abs((value / base - 1) * 100).toFixed(1) + ' %)' : '';
    numbers.push((base === 0 ? 'new' : value === 0 ? 'gone' : this.gate ? 'here' : this.change(tree, node) === 0 ? 'within noise' : value > base ? 'more' : 'less') + ratio);
    numbers.push('total ' + share(base, baseTotal) + ' \u2192 ' + share(value, whole) + ', ' + (points < 0 ? '\u2212' : '+') + Math.abs(points * 100).toFixed(2) + ' points');
    numbers.push('self ' + share(tree.ownBase(node), baseTotal) + ' \u2192 ' + share(tree.own(node), whole));
    numbers.push(countOf(tree.baseSamples(node), 'sample') + ' \u2192 ' + grouped(samples));
    if (this.base.scale !== 1) numbers.push('base scaled by ' + this.base.scale.toPrecision(4));
  } else {
    numbers.push(share(value, total) + ', ' + quantity(value, unit));
    numbers.push(samples > 0 ? countOf(samples, 'sample') : 'estimated');
    const up = tree.up(node);
    if (up >= 0 && tree.value(up) < total) numbers.push(share(value, tree.value(up)) + ' of its ' + (tree.isOut ? 'callee' : 'caller'));
    if (tree.own(node) > 0 && !tree.isOut) numbers.push(tree.own(node) === value ? 'all self' : 'self ' + share(tree.own(node), total));
  }
  if (this.matches && this.matches[func] && this.matchedValue > 0) numbers.push(share(value, this.matchedValue) + ' of what matches');
  if (this.gate) lines.push(...this.gate.tell(this.knownOf(box), model.names[func]));
  lines.push(numbers.join(' \u00b7 '));
  const place = this.placeOf(func);
  if (place) lines.push(place);
  return lines;
};

// What runs say of the function of a box.
Viewer.prototype.knownOf = function (box) {
  const tree = this.drawnTrees[this.boxes.tree[box]], node = this.boxes.node[box];
  if (this.boxes.count[box] || node < 0) return null;
  return this.gate.of(tree ? tree.func(node) : this.model.func[node]);
};

Viewer.prototype.placeOf = function (func) {
  const model = this.model, parts = [], kind = model.kinds[func];
  if (kind !== USER && kind !== TASK) parts.push(KIND_NAMES[kind]);
  if (model.images[func]) parts.push(model.images[func]);
  if (model.files[func]) {
    const first = model.firstLines[func], last = first + model.lineCounts[func];
    parts.push(model.files[func] + (last === 0 ? '' : first === last || first === 0 ? ':' + last : ':' + first + '-' + last));
  }
  const found = FOUND_BY.filter((_, bit) => model.foundBy[func] >> bit & 1);
  if (found.length) parts.push('found by ' + found.join(', '));
  return parts.join(' \u00b7 ');
};

// Shows what is to be known of a box in the bar; of nothing, what to do.
Viewer.prototype.report = function (box, event) {
  const isNew = box !== this.pointed;
  this.pointed = box;
  if (box < 0) {
    this.tip.hidden = true;
    this.nameLine.textContent = this.base.header.title;
    this.numbersLine.textContent = 'Click: zoom \u00b7 right click: menu \u00b7 arrow keys: walk \u00b7 / search \u00b7 ? keys';
  } else {
    const lines = this.describe(box);
    this.nameLine.textContent = begin(lines[0], 2000);
    this.numbersLine.textContent = lines.slice(1).join(' \u00b7 ');
    if (event && isNew) this.showTip(lines, event); else if (!event) this.tip.hidden = true;
  }
  if (this.causes && isNew) {
    const known = box < 0 ? null : this.knownOf(box);
    this.markCauses(known, !event);
    this.drawDots(known && this.gate.telling(known));
  }
  if (event && box >= 0) this.placeTip(event);
  if (isNew) this.paint();
};
Viewer.prototype.showTip = function (lines, event) {
  this.tip.textContent = '';
  element('b', {}, this.tip, begin(lines[0], 1000));
  this.tip.appendChild(document.createTextNode(lines.slice(1).join('\n').replace(/ \u00b7 /g, '\n')));
  this.tip.hidden = false;
};
Viewer.prototype.placeTip = function (event) {
  const frame = this.app.getBoundingClientRect(), x = event.clientX - frame.left, y = event.clientY - frame.top;
  const wide = this.tip.offsetWidth, tall = this.tip.offsetHeight;
  this.tip.style.left = Math.max(0, Math.min(x + 12, frame.width - wide - 4)) + 'px';
  this.tip.style.top = (y + 20 + tall < frame.height ? y + 20 : Math.max(0, y - tall - 12)) + 'px';
};

// The legend, and which tools are pressed.
Viewer.prototype.tools = function () {
  const state = this.state, model = this.model;
  for (const [view, button] of this.viewButtons) button.setAttribute('aria-pressed', String(view === state.view));
  this.invertButton.setAttribute('aria-pressed', String(state.inverted));
  this.invertButton.disabled = state.view !== 'flame' && state.view !== 'bottom-up';
  this.regexButton.setAttribute('aria-pressed', String(!state.plain));
  this.caseButton.setAttribute('aria-pressed', String(state.exact));
  this.paletteSelect.value = state.palette;
  if (this.groupSelect) this.groupSelect.value = state.split;
  if (this.widthSelect) this.widthSelect.value = state.width;
  if (this.scaleSelect) this.scaleSelect.value = state.scale;
  if (this.causes) this.drawCauses();
  const isChanged = state.zoom.length || state.hidden.length || state.hiddenFunctions.length || state.only !== null || state.from !== null ||
    state.threads || state.terms.length || state.query || state.split !== this.initial.split || state.span;
  this.resetButton.disabled = !isChanged;
  if (this.input !== document.activeElement && this.input.value !== state.query) this.input.value = state.query;
  this.keys.textContent = '';
  const key = (colour, text) => {
    const made = element('span', { 'class': 'key' }, this.keys);
    element('i', {}, made).style.background = colour;
    made.appendChild(document.createTextNode(text));
  };
  if (state.palette === 'type') {
    const { own, seen } = this.kindSums(), total = this.weights.total[0];
    for (const kind of [USER, INLINED, JIT, KERNEL, OFF_CPU, NOTE, TASK]) {
      if (seen[kind]) key(shade(kind, SHADES / 2), KIND_NAMES[kind] + (own[kind] > 0 ? ' ' + percent(own[kind] / total) : ''));
    }
  } else if (state.palette === 'change' && this.gate && this.gate.found) {
    const [alpha, warn] = [this.gate.found.alpha, this.gate.found.warn_alpha].map(p => 'p \u2264 ' + Number((p * 100).toFixed(3)) + ' %');
    key(changeColour(1), 'self more, ' + alpha); key(changeColour(1, 0.4), warn); key(changeColour(-1), 'self less, ' + alpha); key(changeColour(-1, 0.4), warn);
    key(changeColour(0), 'cannot be told from chance, or not tested'); key(edgeColour(0.5, 1), 'upper edge: with all that it calls');
    element('span', {}, this.keys, '\u25b2 regression  \u25b3 suspect  \u21c4 moved  \u25bc improved  + new  \u00d7 gone');
  } else if (state.palette === 'change') {
    key(changeColour(1), '\u25b2 more'); key(changeColour(-1), '\u25bc less'); key(changeColour(0), 'within 2 \u03c3 of the counts');
    key(changeColour(1), '+ new'); key(changeColour(-1), '\u00d7 gone');
  } else if (state.palette === 'self') {
    key(colourOf('self', USER, '', '', 1), 'all self'); key(colourOf('self', USER, '', '', 0), 'none self');
  } else if (state.palette === 'binary') {
    const sums = new Map();
    for (let i = 1; i < model.count; i++) {
      const func = model.func[i], kind = model.kinds[func];
      if (this.weights.own[i] > 0 && kind !== TASK && kind !== NOTE) sums.set(model.images[func] || KIND_NAMES[kind], (sums.get(model.images[func] || KIND_NAMES[kind]) || 0) + this.weights.own[i]);
    }
    for (const [image, sum] of Array.from(sums).sort((a, b) => b[1] - a[1]).slice(0, 8)) {
      const hash = hashOf(image);
      key(rgb(hash % 36 * 10, 55 + (hash >>> 8) % 3 * 10, 78), begin(image, 40) + ' ' + percent(sum / this.weights.total[0]));
    }
  }
  key(MERGED, 'too small to be drawn');
  this.filterChips();
};

// What each kind of code took itself, and which kinds there are.
Viewer.prototype.kindSums = function () {
  if (this.kindSum && this.kindSum.key === this.filterKey) return this.kindSum;
  const own = new Float64Array(KIND_NAMES.length), seen = new Uint8Array(KIND_NAMES.length), { count, kinds, func } = this.model, weights = this.weights;
  for (let i = 0; i < count; i++) {
    const kind = kinds[func[i]];
    own[kind] += weights.own[i];
    if (weights.width[i] > 0) seen[kind] = 1;
  }
  this.kindSum = { key: this.filterKey, own: own, seen: seen };
  return this.kindSum;
};

Viewer.prototype.filterChips = function () {
  const state = this.state;
  this.chips.textContent = '';
  const chip = (text, undo) => {
    const made = element('span', { 'class': 'chip' }, this.chips);
    element('span', {}, made, begin(text, 80));
    const button = element('button', { type: 'button', 'aria-label': 'Undo: ' + begin(text, 80) }, made, '\u00d7');
    button.addEventListener('click', () => this.go(undo));
  };
  state.hidden.forEach((path, n) => chip('without ' + label((path[path.length - 1] || '').split('\u0001')[0], 30), { hidden: state.hidden.filter((_, at) => at !== n) }));
  state.hiddenFunctions.forEach((name, n) => chip('without all ' + label(name, 30), { hiddenFunctions: state.hiddenFunctions.filter((_, at) => at !== n) }));
  if (state.only !== null) chip('only with ' + label(state.only, 30), { only: null });
  if (state.from !== null) chip(quantity(state.from, 'ns') + ' \u2026 ' + quantity(state.to, 'ns'), { from: null, to: null });
  if (state.threads) chip(countOf(state.threads.length, 'thread') + ' of ' + this.base.threads.length, { threads: null });
  if (this.weights.hiddenValue > 0) element('span', { 'data-part': 'hidden-share' }, this.chips, percent(this.weights.hiddenValue / (this.weights.hiddenValue + this.weights.total[0])) + ' hidden');
};

// The frame at the cursor, those around it, and the way to it, for a screen reader: items that the stage refers to.
Viewer.prototype.describeTree = function () {
  if (this.twin.isQueued) return;
  this.twin.isQueued = true;
  setTimeout(() => {
    this.twin.isQueued = false;
    this.twin.textContent = '';
    const tree = this.drawnTrees && this.drawnTrees[0];
    if (!tree || this.state.view === 'top') return;
    const at = this.pointed >= 0 && this.boxes.tree[this.pointed] === 0 ? this.boxes.node[this.pointed] : this.zoomed || 0;
    const item = (node, place, of) => {
      const made = element('div', { role: 'treeitem', id: this.id + '-' + node, 'aria-level': tree.depthOf(node) + 1, 'aria-selected': String(node === at) }, this.twin);
      if (of) { made.setAttribute('aria-posinset', place); made.setAttribute('aria-setsize', of); }
      if (tree.first(node) >= 0) made.setAttribute('aria-expanded', String(node === at || node === tree.root));
      const total = tree.width(tree.root);
      made.textContent = begin(this.model.names[tree.func(node)], 300) + ', ' + percent(total > 0 ? tree.width(node) / total : 0) + (tree.own(node) > 0 ? ', self ' + percent(tree.own(node) / (this.weights.total[0] || 1)) : '');
      made.addEventListener('click', () => this.zoomTo(tree, node));
      return made;
    };
    const callees = node => {
      const all = [];
      for (let child = tree.first(node); child >= 0; child = tree.next(child)) if (tree.width(child) > 0) all.push(child);
      return all.sort((a, b) => tree.width(b) - tree.width(a)).slice(0, 50);
    };
    const chain = [];
    for (let node = at; node >= 0; node = tree.up(node)) chain.push(node);
    for (const node of chain.reverse()) item(node);
    const below = callees(at);
    below.forEach((node, n) => item(node, n + 1, below.length));
    this.stage.setAttribute('aria-activedescendant', this.id + '-' + at);
  }, 0);
};
