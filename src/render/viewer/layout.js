// ---- Where everything is: boxes in rows, for one zoom and one weight. Nothing is left out: what is narrower than half a pixel is gathered.

const PITCH = 18, HEIGHT = 17, ADVANCE = 7.32, INSET = 3, LEAST = 0.5;

class Boxes {
  constructor() { this.x = []; this.w = []; this.node = []; this.count = []; this.rows = []; this.tree = []; }
  add(row, x, w, node, tree, count) {
    const box = this.x.length;
    this.x.push(x); this.w.push(w); this.node.push(node); this.tree.push(tree); this.count.push(count);
    while (this.rows.length <= row) this.rows.push([]);
    this.rows[row].push(box);
    return box;
  }
  // The box at a place of a row, or -1.
  at(row, x) {
    const list = this.rows[row];
    if (!list || !list.length) return -1;
    let low = 0, high = list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.x[list[middle]] <= x) low = middle; else high = middle - 1;
    }
    for (const near of [low, low - 1, low + 1]) {
      const box = list[near];
      if (box !== undefined && x >= this.x[box] && x < this.x[box] + Math.max(this.w[box], 1.5)) return box;
    }
    return -1;
  }
}

// Lays out `tree` below `zoomed`, whose callers fill the width above it. Rows count from the root.
function layoutTree(boxes, tree, zoomed, width, treeNumber, rowOf) {
  const chain = [];
  for (let at = zoomed; at >= 0; at = tree.up(at)) chain.push(at);
  chain.reverse();
  chain.forEach((node, row) => boxes.add(rowOf(row), 0, width, node, treeNumber, 0));
  const whole = tree.width(zoomed), scale = whole > 0 ? width / whole : 0, stack = [[zoomed, 0, chain.length]];
  let deepest = chain.length;
  while (stack.length) {
    const [parent, left, row] = stack.pop();
    let x = left, run = 0, runCount = 0, runStart = x, pushed = stack.length;
    const flush = () => {
      if (runCount && run >= 0.02) boxes.add(rowOf(row), runStart, run, parent, treeNumber, runCount);
      if (runCount && row + 1 > deepest) deepest = row + 1;
      run = runCount = 0;
    };
    for (let child = tree.first(parent); child >= 0; child = tree.next(child)) {
      const w = tree.width(child) * scale;
      if (!(w > 0)) continue;
      if (w < LEAST) {
        if (!runCount) runStart = x;
        run += w; runCount++;
        x += w;
        continue;
      }
      flush();
      boxes.add(rowOf(row), x, w, child, treeNumber, 0);
      if (row + 1 > deepest) deepest = row + 1;
      stack.push([child, x, row + 1]);
      x += w;
    }
    flush();
    // The leftmost first, so that each row is in order of place.
    for (let low = pushed, high = stack.length - 1; low < high; low++, high--) [stack[low], stack[high]] = [stack[high], stack[low]];
  }
  return deepest;
}
