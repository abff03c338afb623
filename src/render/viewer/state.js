// ---- The state in the address: by names, so that it leads to the same place in another picture of the same program.

Viewer.prototype.writeHash = function (quiet) {
  if (!this.options.isAlone) return;
  const state = this.state, initial = this.initial, out = [];
  const put = (key, value) => out.push(key + '=' + encodeURIComponent(value));
  const path = names => names.map(name => name.replace(/[\\/]/g, '\\$&')).join('/');
  if (state.view !== initial.view) put('view', state.view);
  if (state.inverted !== initial.inverted) put('inverted', state.inverted ? 1 : 0);
  if (state.zoom.length) put('zoom', path(state.zoom));
  if (state.focus !== initial.focus && state.focus !== null) put('focus', state.focus);
  state.terms.forEach(term => put('term', term));
  if (state.query) put('search', state.query);
  for (const key of ['palette', 'split', 'width', 'scale']) if (state[key] !== initial[key]) put(key, state[key]);
  if (state.plain) put('plain', 1);
  if (state.exact) put('case', 1);
  if (state.from !== null) put('time', Math.round(state.from) + '-' + Math.round(state.to));
  if (state.span) put('span', state.span.map(Math.round).join('-'));
  if (state.threads) put('threads', state.threads.map(n => this.base.threads[n].pid + '.' + this.base.threads[n].tid).join(','));
  state.hidden.forEach(names => put('hide', path(names)));
  state.hiddenFunctions.forEach(name => put('without', name));
  if (state.only !== null) put('only', state.only);
  if (state.theme) put('theme', state.theme);
  const hash = out.length ? '#' + out.join('&') : '';
  if (hash === location.hash || (hash === '' && location.hash === '#')) return;
  // Forbidden in some frames; the picture works without.
  try { history[quiet ? 'replaceState' : 'pushState'](null, '', hash || location.pathname + location.search); } catch (error) { this.noHistory = true; }
};

Viewer.prototype.readHash = function () {
  if (!this.options.isAlone) return;
  const state = Object.assign({}, this.initial, { terms: [], hidden: [], hiddenFunctions: [], zoom: [] });
  const path = text => {
    const names = [''];
    for (let i = 0; i < text.length; i++) {
      if (text[i] === '\\' && i + 1 < text.length) names[names.length - 1] += text[++i];
      else if (text[i] === '/') names.push('');
      else names[names.length - 1] += text[i];
    }
    return names;
  };
  const oneOf = (value, list, other) => list.includes(value) ? value : other;
  for (const pair of location.hash.slice(1).split('&')) {
    const at = pair.indexOf('=');
    if (at < 0) continue;
    let value;
    try { value = decodeURIComponent(pair.slice(at + 1)); } catch (error) { continue; }
    const range = () => { const [from, to] = value.split('-').map(Number); return from >= 0 && to > from ? [from, to] : null; };
    switch (pair.slice(0, at)) {
      case 'view': state.view = oneOf(value, VIEWS.map(view => view[0]), state.view); break;
      case 'inverted': state.inverted = value === '1'; break;
      case 'zoom': state.zoom = path(value); break;
      case 'focus': state.focus = value; break;
      case 'term': state.terms.push(value); break;
      case 'search': state.query = value; break;
      case 'palette': state.palette = oneOf(value, ['type', 'binary', 'hash', 'self', 'change'], state.palette); break;
      case 'split': state.split = oneOf(value, ['none', 'processes', 'threads'], state.split); break;
      case 'width': state.width = oneOf(value, WIDTHS.map(width => width[0]), state.width); break;
      case 'scale': if (this.gate && this.gate.found) state.scale = oneOf(value, SCALES, state.scale); break;
      case 'plain': state.plain = value === '1'; break;
      case 'case': state.exact = value === '1'; break;
      case 'time': { const found = range(); if (found && this.base.isTimed) [state.from, state.to] = found; break; }
      case 'span': if (this.base.isTimed) state.span = range(); break;
      case 'threads': {
        const wanted = new Set(value.split(',')), found = this.base.threads.map((thread, n) => wanted.has(thread.pid + '.' + thread.tid) ? n : -1).filter(n => n >= 0);
        state.threads = found.length || value === '' ? found : null;
        break;
      }
      case 'hide': state.hidden.push(path(value)); break;
      case 'without': state.hiddenFunctions.push(value); break;
      case 'only': state.only = value; break;
      case 'theme': state.theme = oneOf(value, ['dark', 'light'], null); break;
    }
  }
  if (state.view === 'chart' && !this.base.isTimed) state.view = 'flame';
  if (state.split !== 'none' && !this.base.samples) state.split = 'none';
  if (state.palette === 'change' && !this.base.isDiff && !this.gate) state.palette = 'type';
  state.terms = state.terms.slice(0, 7);
  this.state = state;
  this.input.value = state.query;
  if (this.applyTheme) this.applyTheme();
};
