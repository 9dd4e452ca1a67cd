// Wrong first words.
package tcp // want "no package comment"

import _ "go.etcd.io/etcd/client/v3" // want "only transport/etcd may import go.etcd.io/etcd/client/v3"
