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
    // Where nothing is compared, widths and the base are the values.
    this.ownWidth = this.ownBase = this.own; this.width = this.base = this.total;
    this.ownBaseSamples = this.ownSamples; this.baseSamples = this.samples;
    if (!model.isDiff) return;
    this.ownWidth = make(); this.width = make(); this.ownBase = make(); this.base = make();
    this.ownBaseSamples = make(); this.baseSamples = make();
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
        if ((filter.from !== null && model.unplaced[i]) || time < from || time >= to || (filter.threads && !filter.threads.has(model.sampleThread[i]))) continue;
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
    this.dropped = null;
    const drop = (begin, end) => {
      if (!this.dropped) this.dropped = new Uint8Array(count);
      for (let i = begin; i < end; i++) {
        this.dropped[i] = 1;
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
    this.sum(own, this.total); this.sum(ownSamples, this.samples);
    if (!model.isDiff) return;
    for (let i = 0; i < count; i++) this.ownWidth[i] = widthOf(own[i], this.ownBase[i], widthMode);
    this.sum(this.ownWidth, this.width);
    this.sum(this.ownBase, this.base);
    this.sum(this.ownBaseSamples, this.baseSamples);
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
  //
  // Columns instead of objects, as there are as many nodes as in the model. What a node stands for is a piece of `items`, beside it in
  // `from` the nodes of the model whose weight these carry; a child's piece is made when its parent grows.
  constructor(model, weights, direction, func, items) {
    this.model = model; this.weights = weights; this.direction = direction; this.root = 0; this.kind = 'grown';
    this.isOut = direction !== 'callees';
    this.isOwn = direction === 'bottom-up';
    for (const column of ['func_', 'up_', 'depth_', 'first_', 'next_', 'value_', 'samples_', 'width_', 'base_', 'baseSamples_', 'own_', 'ownSamples_', 'ownBase_', 'items', 'from', 'begin', 'length']) this[column] = [];
    this.ranks = model.rank();
    this.add(func, -1, 0, items, items, 0, items.length);
  }

  add(func, up, depth, items, from, begin, length) {
    const weights = this.weights, isDiff = this.model.isDiff, isOwn = this.isOwn, node = this.func_.length;
    const ofValue = isOwn ? weights.own : weights.total, ofSamples = isOwn ? weights.ownSamples : weights.samples, ofWidth = isOwn ? weights.ownWidth : weights.width;
    const ofBase = isOwn ? weights.ownBase : weights.base, ofBaseSamples = isOwn ? weights.ownBaseSamples : weights.baseSamples;
    let value = 0, samples = 0, width = 0, base = 0, baseSamples = 0, own = 0, ownSamples = 0, ownBase = 0;
    for (let n = begin; n < begin + length; n++) {
      const i = from[n];
      value += ofValue[i];
      samples += ofSamples[i];
      width += ofWidth[i];
      if (isDiff) { base += ofBase[i]; baseSamples += ofBaseSamples[i]; }
      if (!this.isOut) {
        own += weights.own[items[n]];
        ownSamples += weights.ownSamples[items[n]];
        if (isDiff) ownBase += weights.ownBase[items[n]];
      }
    }
    this.func_.push(func); this.up_.push(up); this.depth_.push(depth); this.first_.push(-2); this.next_.push(-1);
    this.value_.push(value); this.samples_.push(samples); this.width_.push(width);
    this.base_.push(isDiff ? base : value); this.baseSamples_.push(isDiff ? baseSamples : samples);
    this.own_.push(own); this.ownSamples_.push(ownSamples); this.ownBase_.push(isDiff ? ownBase : own);
    this.items.push(items); this.from.push(from); this.begin.push(begin); this.length.push(length);
    return node;
  }

  // Callees are made when they are first asked for.
  grow(i) {
    const model = this.model, func = model.func, parent = model.parent, end = model.end, width = this.weights.width, ranks = this.ranks;
    const items = this.items[i], from = this.from[i], last = this.begin[i] + this.length[i];
    let found = [], carried = [];
    for (let n = this.begin[i]; n < last; n++) {
      const item = items[n];
      if (this.isOwn && i === 0) {
        found.push(item); carried.push(item);
      } else if (this.isOut) {
        if (parent[item] > 0) { found.push(parent[item]); carried.push(from[n]); }
      } else {
        for (let to = item + 1; to < end[item]; to = end[to]) if (width[to] > 0) { found.push(to); carried.push(to); }
      }
    }
    // By function in order of name, each in the order found.
    const count = found.length;
    if (count > 1) {
      const keys = new Float64Array(count);
      for (let n = 0; n < count; n++) keys[n] = ranks[func[found[n]]] * count + n;
      keys.sort();
      const sorted = new Int32Array(count), sortedFrom = new Int32Array(count);
      for (let n = 0; n < count; n++) { const at = keys[n] % count; sorted[n] = found[at]; sortedFrom[n] = carried[at]; }
      found = sorted; carried = sortedFrom;
    }
    let before = -1;
    this.first_[i] = -1;
    for (let begin = 0, at = 0; begin < count; begin = at) {
      const of = func[found[begin]];
      while (at < count && func[found[at]] === of) at++;
      const made = this.add(of, i, this.depth_[i] + 1, found, carried, begin, at - begin);
      if (before < 0) this.first_[i] = made; else this.next_[before] = made;
      before = made;
    }
    if (this.isOut) this.own_[i] = before < 0 ? this.value_[i] : 0;
    if (i > 0) this.items[i] = this.from[i] = null;
  }

  first(i) { if (this.first_[i] === -2) this.grow(i); return this.first_[i]; }
  next(i) { return this.next_[i]; }
  func(i) { return this.func_[i]; }
  value(i) { return this.value_[i]; }
  own(i) { return this.own_[i]; }
  samples(i) { return this.samples_[i]; }
  ownSamples(i) { return this.ownSamples_[i]; }
  base(i) { return this.base_[i]; }
  ownBase(i) { return this.ownBase_[i]; }
  baseSamples(i) { return this.baseSamples_[i]; }
  width(i) { return this.width_[i]; }
  up(i) { return this.up_[i]; }
  depthOf(i) { return this.depth_[i]; }
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
  // Samples by process and label, in order of both.
  const parents = model.parent, depths = model.depth, labels = [], labelOf = new Map(), topOf = new Int32Array(model.count);
  for (let i = 1; i < model.count; i++) topOf[i] = depths[i] > 1 ? topOf[parents[i]] : i;
  const ofThread = model.threads.map(thread => {
    const label = by === 'threads' ? thread.name + '-' + thread.tid : thread.process + '-' + thread.pid;
    if (!labelOf.has(label)) { labelOf.set(label, labels.length); labels.push(label); }
    return labelOf.get(label);
  });
  const groups = new Map();
  for (let s = 0; s < model.samples; s++) {
    const top = topOf[model.sampleNode[s]], key = top * labels.length + ofThread[model.sampleThread[s]];
    let group = groups.get(key);
    if (!group) groups.set(key, group = { top: top, label: labels[ofThread[model.sampleThread[s]]], samples: [], nodes: null });
    group.samples.push(s);
  }
  const order = Array.from(groups.values()).sort((a, b) => a.top - b.top || (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
  // The nodes of each group, in their order; each is there once.
  const touched = new Int32Array(model.count), place = new Int32Array(model.count);
  let count = 1;
  order.forEach((group, number) => {
    const nodes = [];
    for (const s of group.samples) {
      for (let at = model.sampleNode[s]; at > group.top && touched[at] !== number + 1; at = parents[at]) { touched[at] = number + 1; nodes.push(at); }
    }
    group.nodes = Int32Array.from(nodes).sort();
    count += nodes.length + 1 + (group.top > 0 && (number === 0 || order[number - 1].top !== group.top) ? 1 : 0);
  });
  const func = new Uint32Array(count), parent = new Int32Array(count), depth = new Int32Array(count), own = new Float64Array(count), ownSamples = new Float64Array(count);
  const sampleNode = new Uint32Array(model.samples);
  let filled = 1;
  func[0] = model.func[0];
  parent[0] = -1;
  const add = (f, up) => {
    func[filled] = f; parent[filled] = up; depth[filled] = depth[up] + 1;
    return filled++;
  };
  let top = -1, topNode = 0;
  for (const group of order) {
    if (group.top !== top) { top = group.top; topNode = top > 0 ? add(model.func[top], 0) : 0; }
    const known = names.length;
    names.push(group.label); kinds.push(TASK);
    place[top] = add(known, topNode);
    for (const node of group.nodes) place[node] = add(model.func[node], place[parents[node]]);
    for (const s of group.samples) {
      const at = sampleNode[s] = place[model.sampleNode[s]];
      own[at] += model.sampleValue[s];
      ownSamples[at] += model.sampleCount[s];
    }
  }
  const end = new Int32Array(count);
  for (let i = count - 1; i >= 0; i--) {
    if (end[i] === 0) end[i] = i + 1;
    if (i > 0 && end[parent[i]] < end[i]) end[parent[i]] = end[i];
  }
  const more = names.length - model.functions, grown = (array, fill) => array.concat(new Array(more).fill(fill));
  const wider = array => { const out = new array.constructor(names.length); out.set(array); return out; };
  return Object.assign(made, {
    functions: names.length, images: grown(model.images, ''), files: grown(model.files, ''), kinds: Uint8Array.from(kinds), ranks: null,
    firstLines: wider(model.firstLines), lineCounts: wider(model.lineCounts), foundBy: wider(model.foundBy),
    count: count, func: func, parent: parent, depth: depth, end: end, ownValue: own, ownSamples: ownSamples,
    ownBase: new Float64Array(count), ownBaseSamples: new Float64Array(count), sampleNode: sampleNode, deepest: model.deepest + 1
  });
}

// What each function took, over all places where it was called from, as `analyze/top.rs` has it: a stack that has it twice counts once, what
// a compiler has inlined is the same function, and a wait is in the function that waited.
function functionTable(model, weights) {
  const rowOf = new Int32Array(model.functions * 7).fill(-1), byName = new Map(), rows = [];
  const deep = model.deepest + 2, path = new Int32Array(deep), groups = new Uint8Array(deep), counted = new Uint8Array(deep);
  const marked = new Uint8Array(deep), open = [], isDiff = model.isDiff;
  let length = 0;
  for (let i = 1; i < model.count; i++) {
    while (length >= model.depth[i]) { length--; if (counted[length]) open[path[length]]--; }
    const func = model.func[i], kind = model.kinds[func], above = length > 0 ? groups[length - 1] : USER;
    const isMarked = length > 0 && (kind === OFF_CPU || marked[length - 1] === 1);
    let row, group = kind === INLINED ? (above === KERNEL || above === JIT ? above : USER) : kind;
    if (isMarked) {
      row = path[length - 1];
      group = above;
    } else {
      row = rowOf[func * 7 + group];
      if (row < 0) {
        const key = group + model.names[func];
        row = byName.get(key);
        if (row === undefined) {
          byName.set(key, row = rows.length);
          rows.push({ func: func, own: 0, total: 0, ownSamples: 0, samples: 0, ownBase: 0, base: 0 });
          open.push(0);
        }
        rowOf[func * 7 + group] = row;
      }
    }
    const sums = rows[row];
    sums.own += weights.own[i];
    sums.ownSamples += weights.ownSamples[i];
    if (isDiff) sums.ownBase += weights.ownBase[i];
    if (!isMarked) {
      if (open[row]++ === 0) {
        sums.total += weights.total[i];
        sums.samples += weights.samples[i];
        if (isDiff) sums.base += weights.base[i];
      }
      if (model.kinds[sums.func] === INLINED) sums.func = func;
    }
    path[length] = row; groups[length] = group; counted[length] = isMarked ? 0 : 1; marked[length] = isMarked ? 1 : 0;
    length++;
  }
  return rows.filter(row => {
    const kind = model.kinds[row.func], isOwn = row.own > 0 || row.ownBase > 0;
    return (row.total > 0 || row.base > 0) && (isOwn || (kind !== TASK && kind !== NOTE && kind !== OFF_CPU));
  });
}
