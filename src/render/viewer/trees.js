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

  // filter: {threads: Set or null, from, to (ns) or null, hidden: [node], hiddenFunctions: [name], only: name or null}
  set(filter, widthMode) {
    const model = this.model, count = model.count, own = this.own, ownSamples = this.ownSamples;
    const isPart = filter.threads || filter.from !== null;
    if (isPart) {
      own.fill(0); ownSamples.fill(0);
      const from = filter.from === null ? -Infinity : filter.from, to = filter.from === null || filter.to >= model.duration ? Infinity : filter.to;
      const { sampleTime, sampleThread, sampleNode, sampleValue, sampleCount, unplaced } = model, wanted = new Uint8Array(model.threads.length);
      for (let thread = 0; thread < wanted.length; thread++) wanted[thread] = !filter.threads || filter.threads.has(thread) ? 1 : 0;
      for (let i = 0; i < model.samples; i++) {
        const time = sampleTime[i];
        if (!wanted[sampleThread[i]] || time < from || time >= to || (filter.from !== null && unplaced[i])) continue;
        own[sampleNode[i]] += sampleValue[i];
        ownSamples[sampleNode[i]] += sampleCount[i];
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
  return mode === 'new' ? value : mode === 'base' ? base : mode === 'delta' ? Math.abs(value - base) : Math.max(value, base);
}

// The tree as recorded.
class Forward {
  constructor(model, weights) { this.model = model; this.weights = weights; this.root = 0; }
  first(i) { return this.model.end[i] > i + 1 ? i + 1 : -1; }
  next(i) { const end = this.model.end[i]; return i > 0 && end < this.model.end[this.model.parent[i]] ? end : -1; }
  func(i) { return this.model.func[i]; }
  value(i) { return this.weights.total[i]; }
  own(i) { return this.weights.own[i]; }
  samples(i) { return this.weights.samples[i]; }
  ownSamples(i) { return this.weights.ownSamples[i]; }
  base(i) { return this.weights.base[i]; }
  ownBase(i) { return this.weights.ownBase[i]; }
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
  // Columns instead of objects, as there are as many nodes as in the model. The children of a node are made together, in one row of
  // numbers. What a node stands for is a piece of its parent's `items`, beside it in `from` the nodes of the model whose weight these carry.
  constructor(model, weights, direction, func, items) {
    this.model = model; this.weights = weights; this.root = 0;
    this.isOut = direction !== 'callees';
    this.isOwn = direction === 'bottom-up';
    this.of = this.isOwn
      ? { value: weights.own, samples: weights.ownSamples, width: weights.ownWidth, base: weights.ownBase, baseSamples: weights.ownBaseSamples }
      : { value: weights.total, samples: weights.samples, width: weights.width, base: weights.base, baseSamples: weights.baseSamples };
    this.room = 0;
    this.nodes = 0;
    this.columns = { func_: Int32Array, up_: Int32Array, depth_: Int32Array, first_: Int32Array, end_: Int32Array, begin: Int32Array, value_: Float64Array, samples_: Float64Array };
    if (model.isDiff) Object.assign(this.columns, { width_: Float64Array, base_: Float64Array, baseSamples_: Float64Array });
    if (!this.isOut) Object.assign(this.columns, { own_: Float64Array, ownSamples_: Float64Array, ownBase_: Float64Array });
    this.reserve(1024);
    // Of each that has grown: what its children stand for. The root is a child without a parent.
    this.items = new Map(); this.from = new Map();
    // While a node grows: which of its children is of a function.
    this.childOf = new Int32Array(model.functions).fill(-1);
    let value = 0, samples = 0;
    for (let n = 0; n < items.length; n++) { value += this.of.value[items[n]]; samples += this.of.samples[items[n]]; }
    this.items.set(-1, items); this.from.set(-1, items);
    this.add(func, -1, 0, 0, value, samples);
    this.sum(0, items, items, 0, items.length);
  }

  reserve(more) {
    if (this.nodes + more <= this.room) return;
    this.room = Math.max(2 * this.room, this.nodes + more);
    for (const name in this.columns) {
      const column = new this.columns[name](this.room);
      if (this[name]) column.set(this[name]);
      this[name] = column;
    }
  }

  add(func, up, depth, begin, value, samples) {
    const node = this.nodes++;
    this.func_[node] = func; this.up_[node] = up; this.depth_[node] = depth; this.first_[node] = -2; this.begin[node] = begin;
    this.value_[node] = value; this.samples_[node] = samples;
    return node;
  }

  // The sums that not every tree has.
  sum(node, items, from, begin, past) {
    const { of, weights } = this;
    if (this.model.isDiff) {
      for (let n = begin; n < past; n++) { const i = from[n]; this.width_[node] += of.width[i]; this.base_[node] += of.base[i]; this.baseSamples_[node] += of.baseSamples[i]; }
    }
    if (this.isOut) return;
    for (let n = begin; n < past; n++) {
      this.own_[node] += weights.own[items[n]];
      this.ownSamples_[node] += weights.ownSamples[items[n]];
      this.ownBase_[node] += weights.ownBase[items[n]];
    }
  }

  // Callees are made when they are first asked for.
  grow(i) {
    const { end, func, parent } = this.model, width = this.weights.width, up = this.up_[i], items = this.items.get(up), from = this.from.get(up);
    const begin = this.begin[i], last = i + 1 < this.end(up) ? this.begin[i + 1] : items.length;
    let found, carried = from, count = 0;
    if (this.isOwn && i === 0) {
      found = items; count = items.length;
    } else if (this.isOut) {
      found = new Int32Array(last - begin); carried = new Int32Array(last - begin);
      for (let n = begin; n < last; n++) {
        const caller = parent[items[n]];
        if (caller > 0) { found[count] = caller; carried[count++] = from[n]; }
      }
    } else {
      found = carried = [];
      for (let n = begin; n < last; n++) for (let to = items[n] + 1, past = end[items[n]]; to < past; to = end[to]) if (width[to] > 0) found.push(to);
      count = found.length;
    }
    // How many are of each function, their value and their samples.
    const { childOf } = this, { value, samples } = this.of, children = new Int32Array(count), functions = [], counts = [], values = [], sampleSums = [];
    for (let n = 0; n < count; n++) {
      const of = func[found[n]], at = carried[n];
      let child = childOf[of];
      if (child < 0) {
        childOf[of] = child = functions.length;
        functions.push(of); counts.push(0); values.push(0); sampleSums.push(0);
      }
      children[n] = child;
      counts[child]++;
      values[child] += value[at];
      sampleSums[child] += samples[at];
    }
    // By function in order of name, each in the order found.
    const total = functions.length, ranks = this.model.rank(), order = Float64Array.from(functions, (of, child) => ranks[of] * total + child).sort();
    const places = new Int32Array(total), sorted = new Int32Array(count), sortedFrom = new Int32Array(count), depth = this.depth_[i] + 1;
    this.reserve(total);
    this.first_[i] = total ? this.nodes : -1;
    this.end_[i] = this.nodes + total;
    for (let n = 0, place = 0; n < total; n++) {
      const child = order[n] % total;
      childOf[functions[child]] = -1;
      places[child] = place;
      this.add(functions[child], i, depth, place, values[child], sampleSums[child]);
      place += counts[child];
    }
    for (let n = 0; n < count; n++) { const to = places[children[n]]++; sorted[to] = found[n]; sortedFrom[to] = carried[n]; }
    this.items.set(i, sorted); this.from.set(i, sortedFrom);
    if (this.isOut && !this.model.isDiff) return;
    for (let node = this.first_[i], place = 0, n = 0; n < total; n++, node++) {
      const past = place + counts[order[n] % total];
      this.sum(node, sorted, sortedFrom, place, past);
      place = past;
    }
  }

  end(i) { return i < 0 ? 1 : this.end_[i]; }
  first(i) { if (this.first_[i] === -2) this.grow(i); return this.first_[i]; }
  next(i) { return i + 1 < this.end(this.up_[i]) ? i + 1 : -1; }
  func(i) { return this.func_[i]; }
  value(i) { return this.value_[i]; }
  // Outwards it is the outermost that have a weight of their own.
  own(i) { return !this.isOut ? this.own_[i] : this.first(i) < 0 ? this.value_[i] : 0; }
  samples(i) { return this.samples_[i]; }
  ownSamples(i) { return this.isOut ? 0 : this.ownSamples_[i]; }
  base(i) { return (this.base_ || this.value_)[i]; }
  ownBase(i) { return !this.isOut ? this.ownBase_[i] : this.first(i) < 0 ? this.base(i) : 0; }
  baseSamples(i) { return (this.baseSamples_ || this.samples_)[i]; }
  width(i) { return (this.width_ || this.value_)[i]; }
  up(i) { return this.up_[i]; }
  depthOf(i) { return this.depth_[i]; }
}

function bottomUp(model, weights) {
  const items = new Int32Array(model.count);
  let count = 0;
  for (let i = 1; i < model.count; i++) if (weights.ownWidth[i] > 0) items[count++] = i;
  return new Grown(model, weights, 'bottom-up', model.func[0], items.subarray(0, count));
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
  model.readSamples();
  const made = Object.create(model), names = model.names.slice(), kinds = Array.from(model.kinds);
  // Samples by process and label, in order of both.
  const { parent: parents, depth: depths, end: ends } = model, labels = [], labelOf = new Map(), topOf = new Int32Array(model.count);
  for (let i = 1; i < model.count; i++) topOf[i] = depths[i] > 1 ? topOf[parents[i]] : i;
  const ofThread = model.threads.map(thread => {
    const label = by === 'threads' ? thread.name + '-' + thread.tid : thread.process + '-' + thread.pid;
    if (!labelOf.has(label)) { labelOf.set(label, labels.length); labels.push(label); }
    return labelOf.get(label);
  });
  const groups = new Map(), list = [], groupOf = new Int32Array(model.samples);
  const lastTop = new Int32Array(model.threads.length).fill(-1), lastGroup = new Int32Array(model.threads.length);
  for (let s = 0; s < model.samples; s++) {
    const top = topOf[model.sampleNode[s]], thread = model.sampleThread[s];
    if (lastTop[thread] !== top) {
      const key = top * labels.length + ofThread[thread];
      let group = groups.get(key);
      if (group === undefined) { groups.set(key, group = list.length); list.push({ top: top, label: labels[ofThread[thread]], count: 0, samples: null, nodes: null }); }
      lastTop[thread] = top;
      lastGroup[thread] = group;
    }
    list[groupOf[s] = lastGroup[thread]].count++;
  }
  for (const group of list) { group.samples = new Int32Array(group.count); group.count = 0; }
  for (let s = 0; s < model.samples; s++) { const group = list[groupOf[s]]; group.samples[group.count++] = s; }
  const order = list.sort((a, b) => a.top - b.top || (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
  // The nodes of each group, in their order; each is there once.
  const touched = new Int32Array(model.count), place = new Int32Array(model.count), nodes = new Int32Array(model.count);
  let count = 1;
  order.forEach((group, number) => {
    let found = 0;
    const top = group.top, mark = number + 1, past = ends[top];
    for (const s of group.samples) {
      for (let at = model.sampleNode[s]; at > top && touched[at] !== mark; at = parents[at]) { touched[at] = mark; nodes[found++] = at; }
    }
    if (past - top < 16 * found) {
      group.nodes = new Int32Array(found);
      for (let at = top + 1, n = 0; n < found; at++) if (touched[at] === mark) group.nodes[n++] = at;
    } else {
      group.nodes = nodes.slice(0, found).sort();
    }
    count += found + 1 + (top > 0 && (number === 0 || order[number - 1].top !== top) ? 1 : 0);
  });
  const func = new Uint32Array(count), parent = new Int32Array(count), depth = new Int32Array(count), own = new Float64Array(count), ownSamples = new Float64Array(count);
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
    group.begin = filled;
    for (let n = 0; n < group.nodes.length; n++) { const node = group.nodes[n]; place[node] = add(model.func[node], place[parents[node]]); }
    for (let n = 0, samples = group.samples; n < samples.length; n++) {
      const at = place[model.sampleNode[samples[n]]];
      own[at] += model.sampleValue[samples[n]];
      ownSamples[at] += model.sampleCount[samples[n]];
    }
  }
  // Which node each sample is of now: asked for where some are left out.
  let sampleNode = null;
  const nodesOfSamples = () => {
    if (sampleNode) return sampleNode;
    sampleNode = new Uint32Array(model.samples);
    for (const group of order) {
      place[group.top] = group.begin - 1;
      group.nodes.forEach((node, n) => { place[node] = group.begin + n; });
      for (const s of group.samples) sampleNode[s] = place[model.sampleNode[s]];
    }
    return sampleNode;
  };
  const end = new Int32Array(count);
  for (let i = count - 1; i >= 0; i--) {
    if (end[i] === 0) end[i] = i + 1;
    if (i > 0 && end[parent[i]] < end[i]) end[parent[i]] = end[i];
  }
  const more = names.length - model.functions, grown = (array, fill) => array.concat(new Array(more).fill(fill));
  const wider = array => { const out = new array.constructor(names.length); out.set(array); return out; };
  Object.defineProperty(made, 'sampleNode', { get: nodesOfSamples });
  return Object.assign(made, {
    names: names, functions: names.length, images: grown(model.images, ''), files: grown(model.files, ''), kinds: Uint8Array.from(kinds), ranks: null,
    firstLines: wider(model.firstLines), lineCounts: wider(model.lineCounts), foundBy: wider(model.foundBy),
    count: count, func: func, parent: parent, depth: depth, end: end, ownValue: own, ownSamples: ownSamples,
    ownBase: new Float64Array(count), ownBaseSamples: new Float64Array(count), deepest: model.deepest + 1
  });
}

// What each function took, over all places where it was called from, as `analyze/top.rs` has it: a stack that has it twice counts once, what
// a compiler has inlined is the same function, and a wait is in the function that waited: the first outward that is not of the kernel's
// scheduler (`analyze/waiter.rs` says which are and why).
function functionTable(model, weights) {
  const names = '__schedule schedule schedule_idle schedule_preempt_disabled schedule_rtlock schedule_user preempt_schedule preempt_schedule_common ' +
    'preempt_schedule_irq preempt_schedule_notrace __cond_resched _cond_resched console_conditional_schedule yield yield_to io_schedule ' +
    'io_schedule_timeout schedule_timeout schedule_timeout_idle schedule_timeout_interruptible schedule_timeout_killable ' +
    'schedule_timeout_uninterruptible schedule_hrtimeout schedule_hrtimeout_range schedule_hrtimeout_range_clock do_nanosleep ' +
    'hrtimer_nanosleep_restart usleep_range usleep_range_state bit_wait bit_wait_io bit_wait_io_timeout bit_wait_timeout __wait_on_bit ' +
    '__wait_on_bit_lock out_of_line_wait_on_bit out_of_line_wait_on_bit_lock out_of_line_wait_on_bit_timeout __wait_for_common ' +
    'wait_for_common wait_for_completion wait_for_completion_interruptible wait_for_completion_interruptible_timeout ' +
    'wait_for_completion_io wait_for_completion_io_timeout wait_for_completion_killable wait_for_completion_killable_timeout ' +
    'wait_for_completion_state wait_for_completion_timeout __mutex_lock __mutex_lock_interruptible_slowpath ' +
    '__mutex_lock_killable_slowpath __mutex_lock_slowpath mutex_lock mutex_lock_interruptible mutex_lock_interruptible_nested ' +
    'mutex_lock_io mutex_lock_io_nested mutex_lock_killable mutex_lock_killable_nested mutex_lock_nested __ww_mutex_lock ' +
    '__ww_mutex_lock_interruptible_slowpath __ww_mutex_lock_slowpath ww_mutex_lock ww_mutex_lock_interruptible __down __down_common ' +
    '__down_interruptible __down_killable __down_timeout down down_interruptible down_killable down_timeout down_read ' +
    'down_read_interruptible down_read_killable down_write down_write_killable rwsem_down_read_failed rwsem_down_read_failed_killable ' +
    'rwsem_down_read_slowpath rwsem_down_write_failed rwsem_down_write_failed_killable rwsem_down_write_slowpath __percpu_down_read ' +
    'percpu_down_write ldsem_down_read ldsem_down_write __rt_mutex_slowlock rt_mutex_slowlock rt_mutex_slowlock_block rt_mutex_lock ' +
    'rt_mutex_lock_interruptible rt_mutex_lock_killable rt_mutex_wait_proxy_lock rtlock_slowlock rtlock_slowlock_locked';
  const marks = model.names.filter((name, func) => model.kinds[func] === OFF_CPU), event = model.header.event || '';
  const isWaitUnmarked = !event.includes('clock') && !marks.includes('[off-CPU]') && (marks.length > 0 || event === 'off-cpu');
  const known = new Set(marks.length > 0 || isWaitUnmarked ? names.split(' ') : []), hasKernel = model.kinds.includes(KERNEL);
  const ofScheduler = model.names.map(name => known.has(name.split('.', 1)[0]));
  const rowOf = new Int32Array(model.functions * 7).fill(-1), byName = new Map(), rows = [];
  const deep = model.deepest + 2, path = new Int32Array(deep), groups = new Uint8Array(deep), counted = new Uint8Array(deep);
  const marked = new Uint8Array(deep), outer = new Int32Array(deep), waited = new Int32Array(deep), passing = new Uint8Array(deep), open = [], isDiff = model.isDiff;
  let length = 0;
  for (let i = 1; i < model.count; i++) {
    while (length >= model.depth[i]) { length--; if (counted[length]) open[path[length]]--; }
    const func = model.func[i], kind = model.kinds[func], above = length > 0 ? groups[length - 1] : USER;
    const isMarked = length > 0 && (kind === OFF_CPU || marked[length - 1] === 1);
    let row, group = kind === INLINED ? (above === KERNEL || above === JIT ? above : USER) : kind;
    if (isMarked) {
      row = path[length - 1];
      group = above;
      waited[length] = waited[length - 1];
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
      // Whose a wait is that ends here. A program's own `yield` is not the kernel's, but below `__schedule` there is only the kernel.
      const passes = kind === INLINED ? length > 0 && passing[length - 1] : (kind === KERNEL || (kind === USER && !hasKernel)) && ofScheduler[func];
      const isEnd = hasKernel || model.names[func] === '__schedule' || model.names[func] === 'schedule';
      const isCalled = length > 0 && above !== TASK && above !== NOTE && above !== OFF_CPU;
      passing[length] = passes ? 1 : 0;
      outer[length] = passes && isCalled ? outer[length - 1] : row;
      waited[length] = isEnd ? outer[length] : row;
    }
    const own = rows[isMarked || isWaitUnmarked ? waited[length] : row], sums = rows[row];
    own.own += weights.own[i];
    own.ownSamples += weights.ownSamples[i];
    if (isDiff) own.ownBase += weights.ownBase[i];
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
