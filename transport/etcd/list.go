package etcd

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/lagan-storage/lagan/core/metadata"
)

// pageItems is how many keys one request of a list returns: about a MiB of
// volumes, which any member answers well within the deadline of a try.
const pageItems = 1000

// list returns everything below prefix as it was at one revision, which is the
// newest one when the list begins.
func (s *Store) list(ctx context.Context, prefix string) (update metadata.Update, at Position, err error) {
	first, end := s.key(prefix), clientv3.GetPrefixRangeEnd(s.key(prefix))
	update.Snapshot = true
	for more := true; more; {
		options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(pageItems)}
		if at.Revision != 0 {
			options = append(options, clientv3.WithRev(int64(at.Revision)))
		}
		var page *clientv3.GetResponse
		before := s.positions.read()
		err := s.read(ctx, func(ctx context.Context, e *endpoint) (err error) {
			page, err = e.client.Get(ctx, first, options...)
			return err
		})
		if err != nil {
			return metadata.Update{}, Position{}, err
		}
		if at.Revision == 0 {
			at = Position{Cluster: page.Header.ClusterId, Revision: metadata.Revision(page.Header.Revision)}
			s.witness(before, at)
		}
		for _, kv := range page.Kvs {
			update.Changes = append(update.Changes, metadata.Change{Item: s.item(kv)})
		}
		if more = page.More && len(page.Kvs) > 0; more {
			first = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
		}
	}
	update.Revision = at.Revision
	return update, at, nil
}
