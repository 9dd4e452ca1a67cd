package store

import (
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

// tables are the trees of the volume table and of the layer table, as last
// written. Every checkpoint writes both anew.
type tables struct {
	volumes, layers *tree
}

// writeTables writes both tables and the root page.
func (s *Store) writeTables(out *step.Effects) {
	c := &s.ckpt
	root := format.Root{NextHandle: s.nextHandle, NextLayer: s.nextLayer}
	volumes, layers := s.volumeEntries(), s.layerEntries()
	const perVolumes, perLayers = format.TableVolumes, format.TableLayers
	root.Volumes = s.writeTable(&c.table.volumes, format.PageTable, len(volumes), perVolumes, func(b []byte, from, to int) {
		format.EncodeTable(b, volumes[from:to])
	}, out)
	root.Layers = s.writeTable(&c.table.layers, format.PageLayers, len(layers), perLayers, func(b []byte, from, to int) {
		format.EncodeLayers(b, layers[from:to])
	}, out)
	s.dropPage(c.rootPage)
	page, b := s.queuePage(out)
	format.EncodeRoot(b, &root)
	crc := format.SealPage(b, format.PageRoot, s.super.Pool, s.pageAddress(page), 0, 0)
	c.rootPage = page
	s.super.Root, s.super.Bitmap = format.Child{Page: page, CRC: crc}, s.bitmap.page
}

// writeTable replaces the tree at t by one over count entries, per a page.
func (s *Store) writeTable(t **tree, kind format.PageKind, count, per int, encode func(b []byte, from, to int), out *step.Effects) format.Table {
	if *t != nil {
		s.dropTree((*t).root, (*t).height, (*t).page)
	}
	pages := (count + per - 1) / per
	*t = s.newTree(uint64(pages))
	for i := range pages {
		from, to := i*per, min((i+1)*per, count)
		page, b := s.queuePage(out)
		encode(b, from, to)
		crc := format.SealPage(b, kind, s.super.Pool, s.pageAddress(page), to-from, uint64(i))
		(*t).setChild(uint64(i), format.Child{Page: page, CRC: crc})
	}
	s.flushTree(*t, out)
	return format.Table{Height: (*t).height, Pages: uint32(pages), Root: (*t).page}
}

// volumeEntries returns the replicas as of the cut.
func (s *Store) volumeEntries() (list []format.Volume) {
	for _, r := range s.replicas {
		if !r.cut.in {
			continue
		}
		list = append(list, format.Volume{
			Handle: r.handle, Damaged: r.damaged, Replica: r.id, Volume: r.volume, Blocks: max(r.rootHead().blocks, r.grown),
			Meta: format.Meta(r.cut.meta), Last: r.cut.last, Base: r.cut.base, Stable: r.cut.stable,
			Head: r.rootHead().number, Parked: r.cut.parked, Controls: r.cut.controls,
		})
	}
	return list
}

// layerEntries returns the layers as of the cut, which ripening has not gone
// beyond since: those that stable records made, as they left them.
func (s *Store) layerEntries() (list []format.Layer) {
	for _, l := range s.layers {
		if !l.born {
			continue
		}
		e := format.Layer{
			Number: l.number, Doomed: l.doomed, Blocks: l.blocks, Tree: l.tree.entry(),
		}
		if l.under != nil {
			e.Under, e.Down, e.Reach = l.under.entry(), l.down, l.reach
		}
		if l.parent != nil {
			e.Parent = l.parent.number
		}
		if l.owner != nil {
			e.Owner = l.owner.handle
		}
		if l.shut {
			e.ID, e.Closed = l.id, l.closed
		}
		list = append(list, e)
	}
	for _, t := range s.dead {
		list = append(list, format.Layer{Freed: true, Tree: t.entry(), Blocks: t.leaves})
	}
	return list
}

func (t *tree) entry() format.Tree { return format.Tree{Height: t.height, Used: t.used, Root: t.page} }

// dropTree frees the pages of a tree whose leaves are pages of their own.
func (s *Store) dropTree(n *node, level uint8, at format.Child) {
	if n == nil {
		return
	}
	for i := range n.child {
		if level > 1 {
			s.dropTree(n.kids[i], level-1, n.child[i])
		} else {
			s.dropPage(n.child[i].Page)
		}
	}
	s.dropPage(at.Page)
}
