// ---- The beginning: the picture as it stands is put aside once the viewer is there.

(function () {
  const script = document.currentScript, root = script && script.parentNode;
  if (!root || !window.DecompressionStream) return;
  const isSvg = root.namespaceURI === 'http://www.w3.org/2000/svg';
  const place = isSvg ? root : root.closest ? root.closest('[data-flameprofile]') || document.body : document.body;
  const data = place.querySelector('[data-flameprofile="data"]');
  if (!data || place.flameprofile) return;
  // A page that was saved as the browser had it: what a viewer had made there goes, also where it has not been read yet, and what it had put
  // aside is shown.
  if (place.getAttribute('data-flameprofile') === 'live') {
    const clean = () => {
      const own = place.flameprofile && place.flameprofile.app;
      for (const child of Array.from(place.children)) {
        if (child === own || child.contains(own || null)) continue;
        if (child.getAttribute('data-part') === 'app' || child.localName === 'foreignObject') child.remove(); else if (!isSvg || !own) child.style.display = '';
      }
    };
    clean();
    document.addEventListener('DOMContentLoaded', clean);
  }
  place.setAttribute('data-flameprofile', 'live');
  const isAlone = isSvg ? document.documentElement === root : true;
  // In a page it comes after the script, and its style tells when it is seen.
  const still = isSvg ? Array.from(place.children).filter(child => child !== data && child !== script && !['title', 'desc', 'style'].includes(child.tagName.toLowerCase())) : [];
  const failed = error => {
    still.forEach(child => { child.style.display = ''; });
    place.setAttribute('data-flameprofile', 'still');
    place.setAttribute('data-error', String(error && error.message || error));
  };
  const began = performance.now();
  unpack(data.textContent).then(unpacked => {
    let host = place;
    const kept = name => root.getAttribute('data-' + name) || root.getAttribute(name);
    const box = isSvg ? kept('viewBox') : null, size = isSvg ? [kept('width'), kept('height')] : null;
    if (isSvg) { root.setAttribute('data-viewBox', box); root.setAttribute('data-width', size[0]); root.setAttribute('data-height', size[1]); }
    if (isSvg) {
      host = document.createElementNS('http://www.w3.org/2000/svg', 'foreignObject');
      host.setAttribute('width', '100%');
      host.setAttribute('height', '100%');
      root.appendChild(host);
    }
    const show = isLive => {
      still.forEach(child => { child.style.display = isLive ? 'none' : ''; });
      if (isSvg) host.style.display = isLive ? '' : 'none';
      if (!isSvg) return;
      if (isLive) {
        root.removeAttribute('viewBox');
        root.setAttribute('width', '100%');
        root.setAttribute('height', isAlone ? '100%' : Math.max(300, Math.min(Number(size[1]) || 600, Math.round(window.innerHeight * 0.9))));
      } else {
        root.setAttribute('viewBox', box);
        root.setAttribute('width', size[0]);
        root.setAttribute('height', size[1]);
      }
    };
    show(true);
    if (isSvg) { root.setAttribute('role', 'group'); if (isAlone) root.style.cssText = 'position:fixed;inset:0;width:100%;height:100%'; }
    try {
      const viewer = new Viewer(host, unpacked, { isAlone: isAlone });
      place.flameprofile = viewer;
      place.setAttribute('data-loaded', Math.round(performance.now() - began));
    } catch (error) {
      show(false);
      const begun = isSvg ? host : host.querySelector('[data-part=app]');
      if (begun) begun.remove();
      throw error;
    }
    // On paper the picture is whole.
    window.addEventListener('beforeprint', () => { if (isSvg && isAlone) root.style.cssText = ''; show(false); });
    window.addEventListener('afterprint', () => { show(true); if (isSvg && isAlone) root.style.cssText = 'position:fixed;inset:0;width:100%;height:100%'; });
  }).catch(failed);
})();
