// ---- Trees over the model: as recorded, from the innermost frame outwards, around one function, by thread.
//
// All have the same face: first(i) and next(i) walk the callees (-1 ends them), func(i), value(i), own(i), samples(i), ownSamples(i),
// base(i), ownBase(i), width(i), up(i), depthOf(i). What is widest is decided by `width`, in the weight that is drawn.

// What counts after filters: value, samples, base and width of each node itself and with all below it.
class Weights {
  constructor(model) {
    this.model = model;
    const make = () => new Float64Array(model.count);
    this.own = make(); this.total = make(); this.ownSamples = make(); this.samples = make();
    this.ownWidth = make(); this.width = make();
    const base = model.isDiff ? make : () => this.own;
    this.ownBase = base(); this.base = base(); this.ownBaseSamples = base(); this.baseSamples = base();
  }

  // filter: {threads: Set or null, from, to (ns) or null, hidden: [node], only: function or -1}
  set(filter, widthMode) {
    const model = this.model, count = model.count, own = this.own, ownSamples = this.ownSamples;
    const isPart = filter.threads || filter.from !== null;
    if (isPart) {
      own.fill(0); ownSamples.fill(0);
      const from = filter.from === null ? -Infinity : filter.from, to = filter.from === null ? Infinity : filter.to;
      for (let i = 0; i < model.samples; i++) {
        const time = model.sampleTime[i];
        if (time < from || time >= to || (filter.threads && !filter.threads.has(model.sampleThread[i]))) continue;
        own[model.sampleNode[i]] += model.sampleValue[i];
        ownSamples[model.sampleNode[i]] += model.sampleCount[i];
      }
    } else {
      own.set(model.ownValue); ownSamples.set(model.ownSamples);
    }
    if (model.isDiff) {
      for (let i = 0; i < count; i++) this.ownBase[i] = model.ownBase[i] * model.scale;
      this.ownBaseSamples.set(model.ownBaseSamples);
    }
    this.hiddenValue = 0;
    const drop = (begin, end) => {
      for (let i = begin; i < end; i++) {
        this.hiddenValue += own[i];
        own[i] = ownSamples[i] = 0;
        if (model.isDiff) this.ownBase[i] = this.ownBaseSamples[i] = 0;
      }
    };
    for (const node of filter.hidden) drop(node, model.end[node]);
    for (const name of filter.hiddenFunctions) {
      for (let i = 1; i < count; i++) if (model.names[model.func[i]] === name) { drop(i, model.end[i]); i = model.end[i] - 1; }
    }
    if (filter.only !== null) {
      let kept = 0;
      for (let i = 0; i < count; i++) {
        if (i >= kept && model.names[model.func[i]] === filter.only) kept = model.end[i];
        if (i >= kept) drop(i, i + 1);
      }
    }
    for (let i = 0; i < count; i++) this.ownWidth[i] = widthOf(own[i], model.isDiff ? this.ownBase[i] : own[i], widthMode);
    this.sum(own, this.total); this.sum(ownSamples, this.samples); this.sum(this.ownWidth, this.width);
    if (model.isDiff) {
      this.sum(this.ownBase, this.base);
      this.sum(this.ownBaseSamples, this.baseSamples);
    } else {
      this.base = this.total; this.baseSamples = this.samples; this.ownBaseSamples = this.ownSamples;
    }
  }

  sum(own, total) {
    const parent = this.model.parent;
    total.set(own);
    for (let i = this.model.count - 1; i > 0; i--) total[parent[i]] += total[i];
  }
}

function widthOf(value, base, mode) {
  return mode === 'new' ? value : mode === 'base' ? base : Math.max(value, base);
}

// The tree as recorded.
class Forward {
  constructor(model, weights) { this.model = model; this.weights = weights; this.root = 0; this.kind = 'forward'; }
  first(i) { return this.model.end[i] > i + 1 ? i + 1 : -1; }
  next(i) { const end = this.model.end[i]; return i > 0 && end < this.model.end[this.model.parent[i]] ? end : -1; }
  func(i) { return this.model.func[i]; }
  value(i) { return this.weights.total[i]; }
  own(i) { return this.weights.own[i]; }
  samples(i) { return this.weights.samples[i]; }
  ownSamples(i) { return this.weights.ownSamples[i]; }
  base(i) { return this.weights.base[i]; }
  ownBase(i) { return this.model.isDiff ? this.weights.ownBase[i] : this.weights.own[i]; }
  baseSamples(i) { return this.weights.baseSamples[i]; }
  width(i) { return this.weights.width[i]; }
  up(i) { return this.model.parent[i]; }
  depthOf(i) { return this.model.depth[i]; }
}

// A tree that is made as far as it is looked at. Each of its nodes stands for some of the model's.
//
//   bottom-up  first the innermost functions, below each who called it; the weight is what the innermost took itself
//   callers    of one function, outwards; the weight is that of the function with all that it called
//   callees    of one function, inwards
class Grown {
  // items: nodes of the model that the root stands for.
  constructor(model, weights, direction, func, items) {
    this.model = model; this.weights = weights; this.direction = direction; this.root = 0; this.kind = 'grown';
    this.isOut = direction !== 'callees';
    this.isOwn = direction === 'bottom-up';
    this.nodes = [];
    this.add(func, -1, 0, items, items);
  }

  // from: the nodes of the model whose weight the items carry.
  add(func, up, depth, items, from) {
    const weights = this.weights, isDiff = this.model.isDiff;
    const node = { func: func, up: up, depth: depth, items: items, from: from, first: -2, next: -1, value: 0, samples: 0, width: 0,
      base: 0, baseSamples: 0, own: 0, ownSamples: 0, ownBase: 0 };
    for (let n = 0; n < items.length; n++) {
      const i = from[n];
      node.value += this.isOwn ? weights.own[i] : weights.total[i];
      node.samples += this.isOwn ? weights.ownSamples[i] : weights.samples[i];
      node.width += this.isOwn ? weights.ownWidth[i] : weights.width[i];
      if (isDiff) {
        node.base += this.isOwn ? weights.ownBase[i] : weights.base[i];
        node.baseSamples += this.isOwn ? weights.ownBaseSamples[i] : weights.baseSamples[i];
      }
      if (!this.isOut) {
        node.own += weights.own[items[n]];
        node.ownSamples += weights.ownSamples[items[n]];
        if (isDiff) node.ownBase += weights.ownBase[items[n]];
      }
    }
    if (!isDiff) { node.base = node.value; node.baseSamples = node.samples; node.ownBase = node.own; }
    this.nodes.push(node);
    return this.nodes.length - 1;
  }

  // Callees are made when they are first asked for.
  grow(i) {
    const node = this.nodes[i], model = this.model, width = this.weights.width, groups = new Map();
    const put = (item, from) => {
      let group = groups.get(model.func[item]);
      if (!group) groups.set(model.func[item], group = { items: [], from: [] });
      group.items.push(item);
      group.from.push(from);
    };
    for (let n = 0; n < node.items.length; n++) {
      const item = node.items[n];
      if (this.isOwn && i === 0) {
        put(item, item);
      } else if (this.isOut) {
        if (model.parent[item] > 0) put(model.parent[item], node.from[n]);
      } else {
        for (let to = item + 1; to < model.end[item]; to = model.end[to]) if (width[to] > 0) put(to, to);
      }
    }
    let last = -1;
    node.first = -1;
    const ranks = model.rank();
    for (const func of Array.from(groups.keys()).sort((a, b) => ranks[a] - ranks[b])) {
      const group = groups.get(func), made = this.add(func, i, node.depth + 1, group.items, group.from);
      if (last < 0) node.first = made; else this.nodes[last].next = made;
      last = made;
    }
    if (this.isOut) node.own = node.first < 0 ? node.value : 0;
    if (i > 0) node.items = node.from = null;
  }

  first(i) { if (this.nodes[i].first === -2) this.grow(i); return this.nodes[i].first; }
  next(i) { return this.nodes[i].next; }
  func(i) { return this.nodes[i].func; }
  value(i) { return this.nodes[i].value; }
  own(i) { return this.nodes[i].own; }
  samples(i) { return this.nodes[i].samples; }
  ownSamples(i) { return this.nodes[i].ownSamples; }
  base(i) { return this.nodes[i].base; }
  ownBase(i) { return this.nodes[i].ownBase; }
  baseSamples(i) { return this.nodes[i].baseSamples; }
  width(i) { return this.nodes[i].width; }
  up(i) { return this.nodes[i].up; }
  depthOf(i) { return this.nodes[i].depth; }
}

function bottomUp(model, weights) {
  const items = [];
  for (let i = 1; i < model.count; i++) if (weights.ownWidth[i] > 0) items.push(i);
  return new Grown(model, weights, 'bottom-up', model.func[0], items);
}

// The outermost nodes of a function: a stack that has it twice counts once.
function outermost(model, name) {
  const items = [];
  for (let i = 1; i < model.count; i++) {
    if (model.names[model.func[i]] === name) { items.push(i); i = model.end[i] - 1; }
  }
  return items;
}

// The same profile with a level for each thread, or process, below that of its process name.
function split(model, by) {
  const made = Object.create(Model.prototype), names = model.names.slice(), kinds = Array.from(model.kinds);
  Object.assign(made, model, { names: names });
  const groups = new Map();
  for (let s = 0; s < model.samples; s++) {
    let top = model.sampleNode[s];
    while (model.depth[top] > 1) top = model.parent[top];
    const thread = model.threads[model.sampleThread[s]];
    const label = by === 'threads' ? thread.name + '-' + thread.tid : thread.process + '-' + thread.pid;
    const key = top + ' ' + label;
    let group = groups.get(key);
    if (!group) groups.set(key, group = { top: top, label: label, samples: [] });
    group.samples.push(s);
  }
  const order = Array.from(groups.values()).sort((a, b) => a.top - b.top || (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
  const func = [model.func[0]], parent = [-1], depth = [0], own = [0], ownSamples = [0];
  const sampleNode = new Uint32Array(model.samples);
  const add = (f, up) => {
    func.push(f); parent.push(up); depth.push(depth[up] + 1); own.push(0); ownSamples.push(0);
    return func.length - 1;
  };
  let top = -1, topNode = 0;
  const touched = new Uint8Array(model.count), place = new Int32Array(model.count);
  for (const group of order) {
    if (group.top !== top) { top = group.top; topNode = top > 0 ? add(model.func[top], 0) : 0; }
    const known = names.length;
    names.push(group.label); kinds.push(TASK);
    const level = add(known, topNode), nodes = [];
    for (const s of group.samples) {
      for (let at = model.sampleNode[s]; at > top && !touched[at]; at = model.parent[at]) { touched[at] = 1; nodes.push(at); }
    }
    nodes.sort((a, b) => a - b);
    place[top > 0 ? top : 0] = level;
    for (const node of nodes) { place[node] = add(model.func[node], place[model.parent[node]]); touched[node] = 0; }
    for (const s of group.samples) {
      const at = sampleNode[s] = place[model.sampleNode[s]];
      own[at] += model.sampleValue[s];
      ownSamples[at] += model.sampleCount[s];
    }
  }
  const count = func.length, end = new Int32Array(count);
  for (let i = count - 1; i >= 0; i--) {
    if (end[i] === 0) end[i] = i + 1;
    if (i > 0 && end[parent[i]] < end[i]) end[parent[i]] = end[i];
  }
  const more = names.length - model.functions, grown = (array, fill) => array.concat(new Array(more).fill(fill));
  const wider = array => { const out = new array.constructor(names.length); out.set(array); return out; };
  return Object.assign(made, {
    functions: names.length, images: grown(model.images, ''), files: grown(model.files, ''), kinds: Uint8Array.from(kinds), ranks: null,
    firstLines: wider(model.firstLines), lineCounts: wider(model.lineCounts), foundBy: wider(model.foundBy),
    count: count, func: Uint32Array.from(func), parent: Int32Array.from(parent), depth: Int32Array.from(depth), end: end,
    ownValue: Float64Array.from(own), ownSamples: Float64Array.from(ownSamples),
    ownBase: new Float64Array(count), ownBaseSamples: new Float64Array(count), sampleNode: sampleNode, deepest: model.deepest + 1
  });
}

// What each function took, over all places where it was called from; a stack that has it twice counts once.
function functionTable(model, weights) {
  const count = model.functions, make = () => new Float64Array(count);
  const own = make(), total = make(), ownSamples = make(), samples = make(), ownBase = make(), base = make();
  const open = new Int32Array(count), path = new Int32Array(model.deepest + 2), isDiff = model.isDiff;
  let length = 0;
  for (let i = 1; i < model.count; i++) {
    while (length >= model.depth[i]) open[path[--length]]--;
    const func = model.func[i], isOutermost = open[func]++ === 0;
    path[length++] = func;
    own[func] += weights.own[i];
    ownSamples[func] += weights.ownSamples[i];
    if (isDiff) ownBase[func] += weights.ownBase[i];
    if (!isOutermost) continue;
    total[func] += weights.total[i];
    samples[func] += weights.samples[i];
    if (isDiff) base[func] += weights.base[i];
  }
  const rows = [];
  for (let func = 0; func < count; func++) {
    const isOwn = own[func] > 0 || ownBase[func] > 0, kind = model.kinds[func];
    if (!(total[func] > 0 || base[func] > 0) || (!isOwn && (kind === TASK || kind === NOTE || kind === OFF_CPU))) continue;
    rows.push({ func: func, own: own[func], total: total[func], ownSamples: ownSamples[func], samples: samples[func],
      ownBase: ownBase[func], base: base[func] });
  }
  return rows;
}
