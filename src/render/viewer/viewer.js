// ---- The viewer: what is shown is a function of `state`; `go` changes it.

class Viewer {
  constructor(host, data, options) {
    this.base = this.model = new Model(data);
    this.gate = this.base.header.comparison || this.base.header.changes ? new Gate(this.base) : null;
    this.options = options;
    this.id = 'flameprofile-' + document.querySelectorAll('[data-part=app]').length;
    const header = this.base.header;
    const view = header.view === 'reverse' ? 'bottom-up' : header.view === 'icicle' ? 'flame' : header.view || 'flame';
    this.initial = {
      view: view === 'chart' && !this.base.isTimed ? 'flame' : view, inverted: header.view === 'icicle', zoom: [], focus: header.focus || null, terms: [], query: '', plain: false, exact: false,
      palette: this.base.isDiff || this.gate ? 'change' : header.palette || 'type', split: this.base.samples && header.split || 'none', width: header.width || 'both',
      from: null, to: null, threads: null, hidden: [], hiddenFunctions: [], only: null, span: null, theme: null,
      scale: this.gate ? this.gate.scaleName : null
    };
    this.state = Object.assign({}, this.initial);
    this.models = { none: this.base };
    this.pointed = -1;
    this.makePage(host);
    this.listen();
    this.readHash();
    this.rebuild();
    this.report(-1);
  }

  weightsAll() {
    let sum = 0;
    for (let i = 0; i < this.base.count; i++) sum += this.base.ownValue[i] + this.base.ownBase[i];
    return sum;
  }

  // Changes the state and what is shown. `quiet`: no step for the Back button.
  go(change, quiet) {
    Object.assign(this.state, change);
    this.rebuild();
    this.writeHash(quiet);
  }

  reset() {
    const kept = { theme: this.state.theme, palette: this.state.palette, view: this.state.view, inverted: this.state.inverted, width: this.state.width, scale: this.state.scale, focus: this.state.focus };
    this.input.value = '';
    this.go(Object.assign({}, this.initial, kept));
    this.report(-1);
  }

  // ---- From the state to boxes.

  rebuild() {
    const state = this.state;
    // The chart has a lane for each thread anyway.
    const by = state.view === 'chart' ? 'none' : state.split;
    if (!this.models[by]) this.models[by] = split(this.base, by);
    this.model = this.models[by];
    if (this.gate && this.gate.found) {
      this.gate.setScale(state.scale);
      if (this.base.isDiff) this.base.scale = this.gate.factor;
    }
    const filterKey = JSON.stringify([by, state.width, state.scale, state.from, state.to, state.threads, state.hidden, state.hiddenFunctions, state.only]);
    if (filterKey !== this.filterKey) {
      this.filterKey = filterKey;
      if (!this.weights || this.weights.model !== this.model) this.weights = new Weights(this.model);
      const hidden = state.hidden.map(path => this.find(path)).filter(node => node > 0);
      this.weights.set({ threads: state.threads ? new Set(state.threads) : null, from: state.from, to: state.to, hidden: hidden,
        hiddenFunctions: state.hiddenFunctions, only: state.only }, state.width);
      this.forward = new Forward(this.model, this.weights);
      this.trees = {};
      this.table.stamp = null;
      this.matchKey = null;
    }
    this.search();
    this.tools();
    this.layout();
  }

  // The node of the model that a path of names leads to; as far as it goes if `near`.
  find(path, near) {
    let node = 0;
    for (const name of path) {
      let found = -1;
      for (let child = this.forwardFirst(node); child >= 0; child = this.forwardNext(child)) {
        if (this.model.key(this.model.func[child]) === name) { found = child; break; }
      }
      if (found < 0) return near ? node : -1;
      node = found;
    }
    return node;
  }
  forwardFirst(i) { return this.model.end[i] > i + 1 ? i + 1 : -1; }
  forwardNext(i) { const end = this.model.end[i]; return i > 0 && end < this.model.end[this.model.parent[i]] ? end : -1; }

  tree(kind) {
    if (kind === 'flame') return this.forward;
    if (!this.trees[kind]) {
      if (kind === 'bottom-up') this.trees[kind] = bottomUp(this.model, this.weights);
      else {
        const [direction, name] = [kind.slice(0, 7), kind.slice(8)], items = outermost(this.model, name);
        const func = items.length ? this.model.func[items[0]] : this.model.func[0];
        this.trees[kind] = new Grown(this.model, this.weights, direction, func, items);
      }
    }
    return this.trees[kind];
  }

  // The node of `tree` that a path leads to, as far as it goes.
  walk(tree, path) {
    let node = tree.root;
    for (const name of path) {
      let found = -1;
      for (let child = tree.first(node); child >= 0; child = tree.next(child)) {
        if (this.model.key(tree.func(child)) === name && tree.width(child) > 0) { found = child; break; }
      }
      if (found < 0) break;
      node = found;
    }
    return node;
  }
  pathOf(tree, node) {
    const names = [];
    for (let at = node; at > 0 && tree.up(at) >= 0; at = tree.up(at)) names.push(this.model.key(tree.func(at)));
    return names.reverse();
  }

  layout() {
    const state = this.state, view = state.view;
    const isTop = view === 'top';
    // What was pointed at may be no more, or say other numbers.
    this.pointed = -1;
    this.report(-1);
    this.stage.hidden = isTop;
    this.table.hidden = !isTop;
    if (isTop) { this.place = null; this.drawTable(); this.drawStrip(); return; }
    const stage = this.stage, width = this.width = Math.max(50, stage.clientWidth || this.app.clientWidth);
    const top = stage.scrollTop, below = stage.scrollHeight - stage.clientHeight - top, above = top - (this.focusRow || 0) * PITCH;
    const boxes = this.boxes = new Boxes();
    this.laneNames = new Map();
    this.isRootBelow = false;
    if (view === 'flame' || view === 'bottom-up') {
      const tree = this.shown = this.tree(view);
      this.zoomed = this.walk(tree, state.zoom);
      this.rowCount = layoutTree(boxes, tree, this.zoomed, width, 0, row => row);
      this.drawnTrees = [tree];
      this.isRootBelow = (view === 'flame') !== state.inverted;
    } else if (view === 'sandwich') {
      this.layoutSandwich(boxes, width);
    } else {
      this.layoutChart(boxes, width);
    }
    if (this.isRootBelow) {
      while (boxes.rows.length < this.rowCount) boxes.rows.push([]);
      boxes.rows.reverse();
    }
    this.rowCount = boxes.rows.length;
    this.resize(true);
    // Another view begins at its root; in the same one the reader stays at that distance from it.
    const place = JSON.stringify([view, state.inverted, state.focus]), isSame = place === this.place;
    this.place = place;
    if (view === 'sandwich' && this.drawnTrees.length) stage.scrollTop = this.focusRow * PITCH + (isSame ? above : (PITCH - stage.clientHeight) / 2);
    else if (this.isRootBelow) stage.scrollTop = stage.scrollHeight - stage.clientHeight - (isSame ? below : 0);
    else stage.scrollTop = isSame ? top : 0;
    this.paint();
    this.drawStrip();
    this.describeTree();
  }

  layoutSandwich(boxes, width) {
    const name = this.state.focus;
    this.zoomed = 0;
    if (name === null || !outermost(this.model, name).length) {
      this.drawnTrees = [];
      this.sandwichHint = name === null ? 'Choose a function: click one in the top table, or press s on a frame.' : 'No stack has ' + name + '.';
      return;
    }
    this.sandwichHint = null;
    const callers = this.tree('callers ' + name), callees = this.tree('callees ' + name);
    this.drawnTrees = [callees, callers];
    const above = new Boxes(), rows = layoutTree(above, callers, 0, width, 1, row => row);
    for (let row = rows - 1; row > 0; row--) {
      for (const box of above.rows[row] || []) boxes.add(rows - 1 - row, above.x[box], above.w[box], above.node[box], 1, above.count[box]);
      if (!(above.rows[row] || []).length) while (boxes.rows.length < rows - row) boxes.rows.push([]);
    }
    this.focusRow = rows - 1;
    layoutTree(boxes, callees, 0, width, 0, row => rows - 1 + row);
    this.shown = callees;
  }

  // ---- Painting.

  resize(isLayout) {
    const ratio = Math.min(3, window.devicePixelRatio || 1), wide = this.stage.clientWidth, tall = this.stage.clientHeight;
    if (this.state.view === 'top' || !wide) return;
    if (!isLayout && this.boxes && Math.abs(wide - this.width) > 0.5) return this.layout();
    const height = Math.max(1, tall);
    if (this.canvas.width !== Math.round(wide * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(wide * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = wide + 'px';
      this.canvas.style.height = height + 'px';
    }
    this.ratio = ratio;
    // The canvas is as tall as the stage and stays in place; the spacer gives the rest of the height.
    const rows = this.rowCount * PITCH;
    this.offset = this.isRootBelow ? Math.max(0, height - rows) : 0;
    this.spacer.style.height = Math.max(0, rows - height) + 'px';
    if (!isLayout) this.paint();
  }

  paint() {
    const context = this.canvas.getContext('2d'), ratio = this.ratio, boxes = this.boxes;
    if (!context || !boxes) return;
    const style = getComputedStyle(this.app), wide = this.canvas.width / ratio, tall = this.canvas.height / ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = style.getPropertyValue('--back') || '#fff';
    context.fillRect(0, 0, wide, tall);
    context.font = '12px "DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace';
    context.textBaseline = 'alphabetic';
    const top = this.stage.scrollTop, first = Math.max(0, Math.floor((top - this.offset) / PITCH));
    const last = Math.min(boxes.rows.length - 1, Math.ceil((top + tall - this.offset) / PITCH));
    const ink = style.getPropertyValue('--ink') || INK;
    this.painted = 0;
    for (let row = first; row <= last; row++) {
      const y = this.offset + row * PITCH - top;
      if (this.laneNames.has(row)) {
        context.fillStyle = ink;
        context.font = '600 12px system-ui,"DejaVu Sans",sans-serif';
        context.fillText(begin(this.laneNames.get(row), Math.floor(wide / 6)), 4, y + 13);
        context.font = '12px "DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace';
      }
      for (const box of boxes.rows[row]) this.paintBox(context, box, y);
    }
    if (this.state.view === 'sandwich' && this.drawnTrees.length) {
      // The function itself, between its callers and its callees.
      context.strokeStyle = ink;
      context.lineWidth = 1.5;
      context.strokeRect(0.75, this.offset - top + this.focusRow * PITCH - 0.25, wide - 1.5, HEIGHT);
    }
    if (this.pointed >= 0) this.outline(context, this.pointed, this.offset - top, ink);
    if (this.sandwichHint && this.state.view === 'sandwich') { context.fillStyle = ink; context.fillText(this.sandwichHint, 10, 24); }
    if (this.app.hasAttribute('data-empty')) {
      context.fillStyle = ink;
      context.font = '14px system-ui,sans-serif';
      context.fillText(this.base.header.empty || 'No samples.', 10, 30);
    }
  }

  paintBox(context, box, y) {
    const boxes = this.boxes, x = boxes.x[box], w = boxes.w[box];
    this.painted++;
    if (boxes.count[box]) {
      context.fillStyle = MERGED;
      context.fillRect(x, y, w > 1.5 ? w - 0.5 : w, HEIGHT);
      if (w > 60) { context.fillStyle = INK; context.fillText(label(this.mergedText(box), Math.floor((w - 2 * INSET) / ADVANCE)), x + INSET, y + 12.5); }
      return;
    }
    const tree = this.drawnTrees[boxes.tree[box]], node = boxes.node[box], isAbove = this.isAbove(box);
    const func = tree ? tree.func(node) : this.model.func[node], matched = this.matches ? this.matches[func] : 0;
    context.globalAlpha = isAbove ? 0.55 : 1;
    const look = this.gate && this.state.palette === 'change' ? this.gate.look(tree, node, func, this.base.isDiff) : null;
    context.fillStyle = matched ? TERM_COLOURS[Math.min(TERM_COLOURS.length - 1, 31 - Math.clz32(matched & -matched))] : look ? look.fill : this.fillOf(tree, node, func);
    context.fillRect(x, y, w > 1.5 ? w - 0.5 : w, HEIGHT);
    if (look && look.edge) { context.fillStyle = look.edge; context.fillRect(x, y, w > 1.5 ? w - 0.5 : w, 3); }
    context.globalAlpha = 1;
    if (look && look.mark === FATE_MARKS.regression && w > 3) { context.strokeStyle = INK; context.lineWidth = 1.5; context.strokeRect(x + 0.75, y + 0.75, w - 2, HEIGHT - 1.5); }
    if (this.base.isDiff && tree && w > 3) this.paintChange(context, tree, node, x, y, w);
    const room = Math.floor((w - 2 * INSET) / ADVANCE);
    if (room < 2) return;
    const text = look ? room < 4 ? look.mark.trim() : look.mark + label(this.model.names[func], room - look.mark.length) : this.labelOf(tree, node, func, room);
    if (!text) return;
    context.fillStyle = isAbove && this.isDark() ? '#fff' : INK;
    context.fillText(text, x + INSET, y + 12.5);
  }

  labelOf(tree, node, func, room) {
    let mark = '';
    if (this.base.isDiff && tree) {
      const value = tree.value(node), base = tree.base(node), change = this.change(tree, node);
      mark = value > 0 && base === 0 ? '+ ' : value === 0 ? '\u00d7 ' : change > 0 ? '\u25b2 ' : change < 0 ? '\u25bc ' : '';
      if (room < 4) return mark.trim();
    }
    return mark + label(this.model.names[func], room - mark.length);
  }

  isAbove(box) {
    const view = this.state.view;
    if (view !== 'flame' && view !== 'bottom-up') return false;
    return this.zoomed > 0 && this.boxes.w[box] >= this.width - 0.01 && this.shown.depthOf(this.boxes.node[box]) < this.shown.depthOf(this.zoomed);
  }
  isDark() { return this.app.getAttribute('data-theme') === 'dark'; }

  change(tree, node) {
    return changeOf(tree.value(node), tree.base(node), tree.samples(node), tree.baseSamples(node), this.base.scale);
  }

  fillOf(tree, node, func) {
    const model = this.model, kind = model.kinds[func], palette = this.state.palette;
    if (palette === 'change' && tree) return changeColour(this.change(tree, node));
    const value = tree && tree.value(node) || 0, heat = palette === 'self' && value > 0 ? Math.sqrt(tree.own(node) / value) : 0;
    if (palette === 'self') return colourOf(palette, kind, model.names[func], '', Math.round(heat * 16) / 16);
    const cache = this.fills && this.fills.key === palette && this.fills.model === model ? this.fills : (this.fills = { key: palette, model: model, of: [] });
    return cache.of[func] || (cache.of[func] = colourOf(palette === 'change' ? 'type' : palette, kind, model.names[func], model.images[func], 0));
  }

  // What has vanished is hatched, what is new has a strong edge: no colour is needed to tell.
  paintChange(context, tree, node, x, y, w) {
    const value = tree.value(node), base = tree.base(node);
    if (value === 0 && base > 0) {
      context.strokeStyle = 'rgba(20,50,120,.55)';
      context.lineWidth = 1;
      context.beginPath();
      for (let at = x - HEIGHT; at < x + w; at += 6) {
        const from = Math.max(at, x), to = Math.min(at + HEIGHT, x + w - 1);
        if (to > from) { context.moveTo(from, y + HEIGHT - (from - at)); context.lineTo(to, y + HEIGHT - (to - at)); }
      }
      context.stroke();
    } else if (base === 0 && value > 0) {
      context.strokeStyle = '#8a3c00';
      context.lineWidth = 1.5;
      context.strokeRect(x + 0.75, y + 0.75, Math.max(0, w - 2), HEIGHT - 1.5);
    }
  }

  outline(context, box, shift, ink) {
    const row = this.rowOf(box);
    context.strokeStyle = ink;
    context.lineWidth = 2;
    context.strokeRect(this.boxes.x[box] + 0.5, shift + row * PITCH + 0.5, Math.max(1, this.boxes.w[box] - 1.5), HEIGHT - 1);
  }
  rowOf(box) {
    const rows = this.boxes.rows;
    if (!this.boxes.row) {
      this.boxes.row = new Int32Array(this.boxes.x.length);
      rows.forEach((list, row) => { for (const at of list) this.boxes.row[at] = row; });
    }
    return this.boxes.row[box];
  }
}
