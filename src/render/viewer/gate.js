// ---- What the runs of both sides say of each function: colours, words, dots, and the table of causes. Words as `verdict.rs` has them.

const SCALES = ['work', 'share', 'robust'];
const FATE_MARKS = { regression: '\u25b2 ', suspect: '\u25b3 ', moved: '\u21c4 ', improved: '\u25bc ' };
const FATE_ORDER = ['regression', 'suspect', 'moved', 'allowed', 'explained', 'improved', 'ignored', 'small', 'unchanged'];
const VERDICT_MARKS = { 'regression': '\u2716 ', 'no change': '\u2714 ', 'inconclusive': '? ' };

// Numbers as `report/words.rs` has them.
function signedPart(share) {
  const part = share * 100, size = Math.abs(part);
  if (!isFinite(part)) return part > 0 ? '+\u221e' : part < 0 ? '-\u221e' : '?';
  const digits = size >= 999.5 ? grouped(size) : size.toFixed(size >= 99.95 ? 0 : size >= 0.995 ? 1 : 2);
  return digits === '0.00' ? '0' : (share < 0 ? '-' : '+') + digits;
}
function shareText(share) {
  const short = String(Number((share * 100).toFixed(2)));
  return short === '0' && share > 0 ? '<0.01 %' : isFinite(share) ? short + ' %' : '?';
}
function chanceText(p) { return p === null ? '?' : p < 1e-4 ? '<0.0001' : p.toFixed(p < 0.001 ? 4 : p < 0.1 ? 3 : 2); }
function meanText(value, unit) {
  if (!isFinite(value)) return '?';
  if (value === 0) return '0';
  if (value >= 999.5 || Number.isInteger(value)) return quantity(Math.max(0, Math.round(value)), unit);
  const size = Math.abs(value), number = size >= 99.95 ? value.toFixed(0) : size >= 9.995 ? value.toFixed(1) : size >= 0.01 ? value.toFixed(2) : value.toExponential(1);
  return (number + ' ' + ({ ns: 'ns', bytes: 'B' }[unit] || '')).trim();
}

class Gate {
  constructor(model) {
    const header = model.header, found = this.found = header.comparison || null;
    this.model = model;
    this.unit = header.unit;
    // Where no runs were compared: how much each function changed beyond the noise of its counts.
    this.changes = new Map((header.changes || []).map(([name, kind, own, all]) => [kind + name, [own, all]]));
    this.byName = new Map();
    this.known = [];
    this.rows = (found ? found.rows : []).map(([name, kind, part, base, value, ofTotal, estimates, visible, fate, words, runs, into], n) => {
      const row = { n: n, name: name, kind: kind, part: part, base: base, value: value, ofTotal: ofTotal, estimates: estimates, visible: visible, fate: fate, words: words || fate, runs: runs, into: into || '' };
      const key = kind + name, known = this.byName.get(key) || {};
      this.byName.set(key, Object.assign(known, known[part] ? {} : { [part]: row }));
      return row;
    });
    this.total = this.rows[0];
    this.setScale(found ? found.scale : 'work');
  }

  // By place in `estimates`.
  setScale(name) { this.scale = Math.max(0, SCALES.indexOf(name)); this.scaleName = SCALES[this.scale]; }
  get factor() { return this.found ? this.found.scales[this.scale] : 1; }

  // The rows of a function, by part: 1 its own, 2 with all that it calls. One that is inlined counts as its callers' sort of code.
  of(func) {
    // The root has the first row of functions for itself.
    if (func === 0 && this.found) return { 2: this.total };
    if (this.known[func]) return this.known[func];
    const { names, kinds } = this.model, kind = kinds[func];
    for (const of of kind === INLINED ? [USER, JIT, KERNEL] : [kind]) {
      const found = this.byName.get(of + names[func]) || (this.changes.has(of + names[func]) && { changes: this.changes.get(of + names[func]) });
      if (found) return this.known[func] = found;
    }
    return this.known[func] = {};
  }

  estimate(row) { const [change, low, high, p, less] = row.estimates.slice(this.scaleOf(row) * 5); return { change: change === null ? Infinity : change, low: low === null ? -Infinity : low, high: high === null ? Infinity : high, p: p, less: less }; }
  // How much colour a change of that direction has: 1 if it is sure, 0 if it may be chance.
  strength(row, direction) {
    const estimate = this.estimate(row), p = direction > 0 ? estimate.p : direction < 0 ? estimate.less : null;
    return p === null ? 0 : p <= this.found.alpha ? 1 : p <= this.found.warn_alpha ? 0.4 : 0;
  }
  // The size and the direction are the place's, the evidence is the function's.
  atPlace(row, base, value) {
    const size = (value - base) / Math.max(value, base);
    return row && isFinite(size) ? [size, this.strength(row, size)] : [0, 0];
  }
  ofFunction(row) {
    if (!row) return [0, 0];
    const change = this.estimate(row).change, size = change > 0 ? 1 - 1 / (1 + change) : Math.max(-1, change);
    return [size, this.strength(row, size)];
  }

  mark(row, change) {
    if (!row || !(row.fate === 'improved' ? change < 0 : change > 0)) return '';
    return FATE_MARKS[row.fate === 'improved' && this.movedTo(row.name) ? 'moved' : row.fate] || '';
  }
  movedTo(name) { return this.found && this.found.moved.find(([, from]) => from.includes(name)); }

  // How a frame looks: of a tree of both sides by its place, else by its function.
  look(tree, node, func, isDiff) {
    const known = this.of(func);
    let own, all, mark;
    if (known.changes) {
      [own, all] = known.changes.map(change => [change, 1]);
      mark = '';
    } else if (!isDiff || !tree) {
      own = this.ofFunction(known[1]); all = this.ofFunction(known[2]);
      mark = this.mark(known[1], own[0]) || this.mark(known[2], all[0]);
    } else if (tree.isOut) {
      // What is drawn is the part of one function: of its own, or with its callees.
      const row = tree.isOwn && tree.depthOf(node) === 1 ? known[1] : known[2];
      own = this.atPlace(row, tree.base(node), tree.value(node)); all = [0, 0];
      mark = this.mark(row, own[0]);
    } else {
      own = this.atPlace(known[1], tree.ownBase(node), tree.own(node)); all = this.atPlace(known[2], tree.base(node), tree.value(node));
      mark = this.mark(known[1], own[0]) || this.mark(known[2], all[0]);
      if (!mark) mark = tree.base(node) === 0 && tree.value(node) > 0 ? '+ ' : tree.value(node) === 0 ? '\u00d7 ' : '';
    }
    return { fill: changeColour(own[0], own[1]), edge: edgeColour(all[0], all[1]), mark: mark };
  }

  // ---- Words.

  // The whole has no share, and its own change is what the robust scale takes away.
  scaleOf(row) { return row.part === 0 ? 0 : this.scale; }
  values(row) {
    const { base, value } = row, scale = this.scaleOf(row);
    return scale === 1 ? [base / this.total.base, value / this.total.value] : scale === 2 ? [base, value / this.found.robust_factor] : [base, value];
  }
  value(number, scale = this.scale) { return scale === 1 ? shareText(number) : meanText(number, this.unit); }
  // The unit is said once where both have it.
  fromTo(row) {
    const [base, value] = this.values(row).map(number => this.value(number, this.scaleOf(row))), at = base.lastIndexOf(' '), unit = base.slice(at);
    return (at > 0 && value.endsWith(unit) ? base.slice(0, at) : base) + ' \u2192 ' + value;
  }
  change(row) {
    const { change, low, high } = this.estimate(row);
    return (change === Infinity ? 'new' : change === -1 ? 'gone' : signedPart(change) + ' %') + ', 95 % [' + signedPart(low) + ', ' + signedPart(high) + ']';
  }
  p(row) { const estimate = this.estimate(row); return chanceText(estimate.change < 0 ? estimate.less : estimate.p); }
  ofTotal(row) { const [base, value] = this.values(row); return signedPart(this.scaleOf(row) === 1 ? value - base : (value - base) / this.total.base) + ' %'; }
  runs() {
    const base = this.found.runs.filter(run => run[0] === 0).length, other = this.found.runs.length - base;
    return base === 1 && other === 1 ? '1 run a side' : base + ' vs ' + other + ' runs';
  }
  sentence(known) {
    const row = known[2] || known[1];
    if (!row) return null;
    const per = this.scaleOf(row) === 1 ? ' of all' : ' per ' + begin(this.found.work_unit || 'run', 40);
    const change = (row, per) => this.fromTo(row) + per + ' (' + this.change(row) + '), adjusted p ' + this.p(row);
    return (known[2] ? '' : 'self ') + change(row, per) + ', ' + this.ofTotal(row) + ' of total' + (known[2] && known[1] ? '; self ' + change(known[1], '') : '') + '; ' + this.runs();
  }
  telling(known) {
    const rows = known ? [known[1], known[2]].filter(Boolean) : [];
    return rows.sort((a, b) => FATE_ORDER.indexOf(a.fate) - FATE_ORDER.indexOf(b.fate))[0] || null;
  }
  // The line for a function.
  tell(known, name) {
    if (!this.found) return [];
    const row = this.telling(known), moved = this.movedTo(name);
    if (!row) return ['not tested: too few samples'];
    return [row.words + (moved && row.fate !== 'moved' ? '; ' + moved[5] : '') + ': ' + this.sentence(known)];
  }
}

// ---- The page's parts of it.

Viewer.prototype.makeVerdict = function (head) {
  const found = this.gate.found, panel = part('details', 'verdict', head);
  this.app.classList.add('gated');
  panel.setAttribute('data-verdict', found.verdict);
  const line = element('summary', { title: 'Settings, checks, what could have been seen (v)' }, panel);
  element('span', { 'aria-hidden': 'true' }, line, VERDICT_MARKS[found.verdict] || '');
  line.appendChild(document.createTextNode(found.line));
  listFacts(panel, found.facts);
  panel.addEventListener('toggle', () => this.resize());
  this.verdictPanel = panel;
};

Viewer.prototype.makeCauses = function () {
  const gate = this.gate, box = this.causes = part('details', 'causes', this.app);
  // Of each function what fails, else the row that says most.
  const rows = gate.rows.filter(row => row.part === 0 || row.fate === 'regression' || gate.telling(gate.byName.get(row.kind + row.name)) === row);
  this.causeRows = rows.filter(row => !['small', 'unchanged'].includes(row.fate)).slice(0, 300);
  const rest = rows.filter(row => row.part > 0 && !this.causeRows.includes(row)).length, title = element('summary', { title: 'e' }, box);
  title.textContent = countOf(this.causeRows.length, 'change') + (rest ? '; ' + countOf(rest, 'function') + ' unchanged, or by too little to matter' : '');
  const frame = this.app.getBoundingClientRect();
  box.open = this.causeRows.length > 0 && frame.height >= 560 && frame.width >= 560;
  box.addEventListener('toggle', () => this.resize());
  this.causeList = element('div', { 'class': 'list' }, box);
  this.causeList.addEventListener('keydown', event => {
    const buttons = Array.from(this.causeList.querySelectorAll('button')), at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (event.key === 'Escape') this.stage.focus();
    else if (to === undefined) return;
    else if (buttons[to]) buttons[to].focus();
    event.preventDefault();
    event.stopPropagation();
  });
};

// Anew for each scale; which rows there are is the gate's own.
Viewer.prototype.drawCauses = function () {
  const gate = this.gate, list = this.causeList;
  if (!list || this.causesScale === gate.scale) return;
  this.causesScale = gate.scale;
  const focused = list.contains(document.activeElement) ? Array.from(list.querySelectorAll('button')).indexOf(document.activeElement) : -1;
  list.textContent = '';
  const table = element('table', { 'aria-label': 'What changed' }, list), head = element('tr', {}, element('thead', {}, table)), body = element('tbody', {}, table);
  for (const [text, style] of [['What', ''], ['Function', ''], ['Base \u2192 new', 'n wide'], ['Change, 95 %', 'n'], ['Of total', 'n wide'], ['p', 'n wide']]) element('th', { 'class': style, scope: 'col' }, head, text);
  for (const row of this.causeRows) {
    const [size, colour] = gate.ofFunction(row), line = element('tr', { 'data-row': row.n }, body), what = element('td', { title: row.words }, line);
    element('i', { 'class': 'dot' }, what).style.background = changeColour(size, colour);
    what.appendChild(document.createTextNode((gate.mark(row, size) || '') + (row.part === 0 && row.fate === 'regression' ? row.words : row.fate)));
    const cell = element('td', { 'class': 'f', title: begin(row.name, 1000) }, line), name = row.part === 0 ? 'everything' : begin(row.name, 400);
    element('button', { type: 'button', title: 'Go to its frame' }, cell, name).addEventListener('click', () => this.goToRow(row));
    if (row.into) cell.appendChild(document.createTextNode(' inlined into ' + begin(row.into, 400)));
    if (row.part === 1) cell.appendChild(document.createTextNode(' self'));
    element('td', { 'class': 'n wide' }, line, gate.fromTo(row));
    element('td', { 'class': 'n' }, line, gate.change(row).replace(', 95 %', ''));
    element('td', { 'class': 'n wide' }, line, gate.ofTotal(row));
    element('td', { 'class': 'n wide' }, line, gate.p(row));
  }
  if (focused >= 0) list.querySelectorAll('button')[focused].focus();
};

// The function of a row, where most of its change is.
Viewer.prototype.goToRow = function (row) {
  const gate = this.gate, isOf = func => gate.of(func)[row.part] === row, model = this.base, weights = this.weights;
  if (this.state.view === 'chart') {
    const box = this.boxes.x.findIndex((_, at) => !this.boxes.count[at] && isOf(model.func[this.boxes.node[at]]));
    if (box >= 0) { this.report(box); this.show(box); }
  } else {
    let best = 0, most = -1;
    for (let i = 1; i < model.count && row.part > 0; i++) {
      if (!isOf(model.func[i])) continue;
      const size = row.part === 1 ? Math.abs(weights.own[i] - weights.ownBase[i]) : weights.width[i];
      if (size > most) { most = size; best = i; }
    }
    if (this.state.view !== 'flame') this.go({ view: 'flame', zoom: [] });
    this.goTo(best);
  }
  this.drawDots(row);
};

// The rows of the function that is pointed at are marked; `isChosen`: and the first is brought into view.
Viewer.prototype.markCauses = function (known, isChosen) {
  const wanted = new Set(known ? [known[1], known[2]].filter(Boolean).map(row => String(row.n)) : []);
  let isFirst = isChosen;
  for (const line of this.causeList.querySelectorAll('tr[data-row]')) {
    const isWanted = wanted.has(line.getAttribute('data-row'));
    if (isWanted) line.setAttribute('aria-current', 'true'); else line.removeAttribute('aria-current');
    if (isWanted && isFirst) { isFirst = false; this.causeList.scrollTop = line.offsetTop - this.causeList.offsetTop - 24; }
  }
};

// The value of each run, base above new, on one axis.
Viewer.prototype.drawDots = function (row) {
  const dots = this.dots, gate = this.gate, runs = gate.found.runs, SVG = 'http://www.w3.org/2000/svg';
  dots.textContent = '';
  dots.setAttribute('aria-label', row ? 'Runs' : '');
  if (!row || !row.runs.length) return;
  const scale = gate.scaleOf(row), text = value => gate.value(value, scale), values = row.runs.map((value, n) => {
    const of = scale === 1 ? value / gate.total.runs[n] : scale === 2 && runs[n][0] ? value / gate.found.robust_factor : value;
    return of || 0;
  });
  const least = Math.min(...values), most = Math.max(...values), x = value => 34 + (most > least ? (value - least) / (most - least) : 0.5) * 192;
  const put = (tag, attributes, text) => {
    const made = dots.appendChild(document.createElementNS(SVG, tag));
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const said = ['base', 'new'].map((side, n) => {
    const y = 9 + 14 * n, own = values.filter((_, at) => runs[at][0] === n), mean = own.reduce((a, b) => a + b, 0) / (own.length || 1);
    put('text', { x: 0, y: y + 4 }, side);
    put('path', { d: 'M34 ' + y + 'h192', 'class': 'track' });
    put('path', { d: 'M' + x(mean).toFixed(1) + ' ' + (y - 6) + 'v12', 'class': 'mean' });
    values.forEach((value, at) => {
      if (runs[at][0] !== n) return;
      const dot = put('circle', { cx: x(value).toFixed(1), cy: y, r: 3.5, 'class': side });
      dot.appendChild(document.createElementNS(SVG, 'title')).textContent = begin(runs[at][1], 200) + ': ' + text(value);
    });
    return side + ': ' + own.map(text).join(', ');
  });
  put('text', { x: 34, y: 40 }, text(least));
  put('text', { x: 226, y: 40, 'text-anchor': 'end' }, text(most));
  put('text', { x: 130, y: 40, 'text-anchor': 'middle' }, row.part === 1 ? 'self' : 'total');
  dots.setAttribute('aria-label', 'Runs of ' + (row.part ? begin(row.name, 200) : 'everything') + '. ' + said.join('; '));
};
