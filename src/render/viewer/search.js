// ---- Search: on bare names; a stack counts once however often it matches.

Viewer.prototype.allTerms = function () {
  const state = this.state, terms = state.terms.slice();
  if (state.query) terms.push(state.query);
  return terms;
};

Viewer.prototype.search = function () {
  const state = this.state, model = this.model, terms = this.allTerms();
  const key = JSON.stringify([terms, state.plain, state.exact, this.filterKey]);
  if (key === this.matchKey) return;
  this.matchKey = key;
  this.matches = null;
  this.matchedValue = 0;
  this.foundNodes = null;
  this.foundAt = -1;
  this.showTerms(terms);
  this.match.textContent = '';
  this.match.style.color = '';
  if (!terms.length) return;
  let said = '';
  const matches = this.matches = new Uint8Array(model.functions);
  terms.forEach((term, n) => {
    let test;
    if (!state.plain) {
      try {
        const wanted = new RegExp(term, state.exact ? 'u' : 'iu');
        test = name => wanted.test(name);
      } catch (error) {
        try {
          const wanted = new RegExp(term, state.exact ? '' : 'i');
          test = name => wanted.test(name);
        } catch (second) {
          said = 'not a regular expression, taken as text (' + String(second.message).split(':').pop().trim() + '): ';
        }
      }
    }
    if (!test) {
      const wanted = state.exact ? term : term.toLowerCase();
      test = state.exact ? name => name.includes(wanted) : name => name.toLowerCase().includes(wanted);
    }
    const bit = 1 << Math.min(n, 7);
    for (let func = 0; func < model.functions; func++) if (func !== model.func[0] && test(model.names[func])) matches[func] |= bit;
  });
  // In the tree as recorded: the outermost matching frames.
  let sum = 0, frames = 0, skip = 0;
  const each = new Float64Array(8), skips = new Int32Array(8), found = [], weights = this.weights;
  for (let i = 1; i < model.count; i++) {
    const hit = matches[model.func[i]];
    if (!hit || !(weights.width[i] > 0)) continue;
    frames++;
    if (i >= skip) { sum += weights.total[i]; skip = model.end[i]; found.push(i); }
    for (let n = 0; n < terms.length && n < 8; n++) if (hit >> n & 1 && i >= skips[n]) { each[n] += weights.total[i]; skips[n] = model.end[i]; }
  }
  this.matchedValue = sum;
  this.foundNodes = found;
  const total = weights.total[0] || 1;
  this.match.textContent = said + percent(sum / total) + ' matched, ' + countOf(frames, 'frame');
  if (said) this.match.style.color = 'var(--bad)';
  if (terms.length > 1) Array.from(this.terms.children).forEach((chip, n) => { chip.firstChild.textContent = begin(terms[n], 40) + ' ' + percent(each[n] / total); });
};

Viewer.prototype.showTerms = function (terms) {
  this.terms.textContent = '';
  if (terms.length < 2 && !this.state.terms.length) return;
  terms.forEach((term, n) => {
    const chip = element('span', { 'class': 'chip' }, this.terms);
    element('span', {}, chip, begin(term, 40));
    chip.style.background = TERM_COLOURS[Math.min(n, TERM_COLOURS.length - 1)];
    chip.style.color = INK;
    const button = element('button', { type: 'button', 'aria-label': 'Search no more for ' + begin(term, 40) }, chip, '\u00d7');
    button.style.color = INK;
    button.addEventListener('click', () => {
      if (n < this.state.terms.length) this.go({ terms: this.state.terms.filter((_, at) => at !== n) }, true);
      else { this.input.value = ''; this.go({ query: '' }, true); }
    });
  });
};
Viewer.prototype.pinTerm = function () {
  if (!this.input.value) return this.input.focus();
  const terms = this.state.terms.concat([this.input.value]).slice(0, 7);
  this.input.value = '';
  this.go({ terms: terms, query: '' }, true);
  this.input.focus();
};

// Goes to the next place that matches; one that is too small to be drawn is zoomed to.
Viewer.prototype.nextMatch = function (by) {
  if (!this.matches) return;
  const view = this.state.view;
  if (view === 'flame' && this.foundNodes) {
    const inside = this.foundNodes;
    if (!inside.length) return;
    this.foundAt = (this.foundAt + by + inside.length + (this.foundAt < 0 && by < 0 ? 1 : 0)) % inside.length;
    this.goTo(inside[this.foundAt]);
    this.tellPlace(this.foundAt + 1, inside.length);
    return;
  }
  if (!this.boxes) return;
  const boxes = this.boxes, list = [];
  for (const row of boxes.rows) for (const box of row) {
    const tree = this.drawnTrees[boxes.tree[box]], func = boxes.count[box] ? -1 : tree ? tree.func(boxes.node[box]) : this.model.func[boxes.node[box]];
    if (func >= 0 && this.matches[func]) list.push(box);
  }
  if (!list.length) return;
  this.foundAt = (this.foundAt + by + list.length + (this.foundAt < 0 && by < 0 ? 1 : 0)) % list.length;
  this.report(list[this.foundAt]);
  this.show(list[this.foundAt]);
  this.tellPlace(this.foundAt + 1, list.length);
};
// Shows a node of the flame graph; one that is too small to be drawn is zoomed to.
Viewer.prototype.goTo = function (node) {
  let box = this.boxOf(node);
  if (box < 0) {
    this.go({ zoom: this.model.path(this.model.parent[node]) }, true);
    box = this.boxOf(node);
    if (box < 0) { this.go({ zoom: this.model.path(node) }, true); box = this.boxOf(node); }
  }
  if (box >= 0) { this.report(box); this.show(box); }
};
Viewer.prototype.tellPlace = function (at, of) {
  this.match.textContent = this.match.textContent.replace(/ \u00b7 \d+ of \d+$/, '') + ' \u00b7 ' + at + ' of ' + of;
};
Viewer.prototype.boxOf = function (node) {
  const boxes = this.boxes;
  for (let box = 0; box < boxes.x.length; box++) if (boxes.node[box] === node && !boxes.count[box] && boxes.tree[box] === 0) return box;
  return -1;
};
