package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strings"

	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
)

// nameBytesMax bounds the name of a node: it is shown in tables.
const nameBytesMax = 63

// Join admits a node: it checks the token, takes the name for it and answers
// with a certificate. A request that is refused changes nothing. One whose answer
// was lost may be made again, with the same token, name and addresses: until the
// node has started for the first time it is the same node.
func (a *Admissions) Join(ctx context.Context, j volume.JoinRequest) (volume.JoinAnswer, error) {
	if err := checkRequest(&j); err != nil {
		return volume.JoinAnswer{}, err
	}
	what := fmt.Sprintf("node %q was not admitted", j.Name)
	tokenKey, memberKey := tokensPrefix+j.TokenID, membersPrefix+j.Name
	r, err := a.read(ctx, what, authorityKey, tokenKey, membersPrefix, volume.NodesPrefix, volume.RemovedPrefix)
	if err != nil {
		return volume.JoinAnswer{}, err
	}
	token, found := r.Find(tokenKey)
	if err := a.checkToken(token, found, j.TokenSecret); err != nil {
		return volume.JoinAnswer{}, err
	}
	authority, name, err := a.authority(&r)
	if err != nil {
		return volume.JoinAnswer{}, err
	}
	members, err := membersOf(&r)
	if err != nil {
		return volume.JoinAnswer{}, err
	}
	m, known := a.memberFor(&r, members, &j)
	if err := checkPlace(members, &j, &m, a.p.Scheme); err != nil {
		return volume.JoinAnswer{}, err
	}
	certificate, err := authority.Issue(j.Request, m.Node, nil, a.p.Now())
	if err != nil {
		return volume.JoinAnswer{}, invalid("%v", err)
	}
	answer := volume.JoinAnswer{
		Node: m.Node, Cluster: name, Authority: authority.Certificate(), Certificate: certificate,
		Endpoints: a.p.Endpoints(), External: a.p.External,
	}
	op, err := put(memberKey, m)
	if err != nil {
		return volume.JoinAnswer{}, err
	}
	// The token may be removed, the name be taken, and the node start, in between.
	txn := metadata.Txn{Ops: []metadata.Op{op}, Guards: []metadata.Guard{
		{Key: memberKey, Revision: known},
		{Key: tokenKey, Revision: token.Revision},
		{Key: volume.NodeKey(m.Node)},
		{Key: volume.RemovedKey(m.Node)},
	}}
	return answer, a.write(ctx, what, txn, &volume.Error{Kind: volume.ErrBusy, What: what + ": another change came in between", Fix: "try again"})
}

// memberFor returns the record of the node that asks: a new one, or that of a node
// which asked before and never started, with the revision it is known at.
func (a *Admissions) memberFor(r *metadata.Result, members []Member, j *volume.JoinRequest) (m Member, known metadata.Revision) {
	m = Member{
		Format: format, Seq: 1, Name: j.Name, API: j.API, Token: j.TokenID,
		Peer: a.p.Scheme + "://" + j.EtcdPeer, Client: a.p.Scheme + "://" + j.EtcdClient,
	}
	_, _ = rand.Read(m.Node[:]) // never fails
	for _, other := range members {
		again := m
		again.Seq, again.Node = other.Seq, other.Node
		_, started := r.Find(volume.NodeKey(other.Node))
		_, removed := r.Find(volume.RemovedKey(other.Node))
		if again == other && !started && !removed {
			item, _ := r.Find(membersPrefix + other.Name)
			return other, item.Revision
		}
		m.Seq = max(m.Seq, other.Seq+1)
	}
	return m, 0
}

func invalid(format string, values ...any) error {
	return &volume.Error{Kind: volume.ErrInvalidRequest, What: fmt.Sprintf(format, values...), Fix: "correct the request"}
}

func checkRequest(j *volume.JoinRequest) error {
	if err := CheckName(j.Name); err != nil {
		return err
	}
	if j.TokenID == "" || strings.Contains(j.TokenID, "/") {
		return refusedToken()
	}
	for what, address := range map[string]string{"API": j.API, "metadata store's peers": j.EtcdPeer, "metadata store's clients": j.EtcdClient} {
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
			return invalid("other nodes cannot reach the %s at %q: want HOST:PORT", what, address)
		}
	}
	return nil
}

// CheckName says whether a node may have a name.
func CheckName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if name == "" || len(name) > nameBytesMax || strings.Trim(name, letters) != "" || strings.ContainsAny(name[:1], "._-") {
		return &volume.Error{
			Kind: volume.ErrInvalidName, What: fmt.Sprintf("a node cannot be called %q", name),
			Fix: fmt.Sprintf("give it another with --name: letters, digits, '.', '_' and '-', %d at most, starting with a letter or digit", nameBytesMax),
		}
	}
	return nil
}

func refusedToken() error {
	return &volume.Error{
		Kind: volume.ErrTokenRefused, What: "the cluster does not know this token, or it has run out",
		Fix: "make another on any node of the cluster:  lagan token create",
	}
}

// checkToken does not say which part of a token is wrong.
func (a *Admissions) checkToken(item metadata.Item, found bool, secret string) error {
	if !found {
		return refusedToken()
	}
	t, err := decode[tokenRecord](item)
	if err != nil {
		return err
	}
	if !t.Hash.Matches(secret) || !a.p.Now().Before(t.Expires) {
		return refusedToken()
	}
	return nil
}

// checkPlace refuses a name and addresses that a node other than self has.
func checkPlace(members []Member, j *volume.JoinRequest, self *Member, scheme string) error {
	for i := range members {
		m := &members[i]
		switch {
		case m.Node == self.Node:
		case m.Name == j.Name:
			return &volume.Error{
				Kind: volume.ErrNodeNameTaken, What: fmt.Sprintf("a node %q belongs to the cluster already, as %v", j.Name, m.Node),
				Fix: fmt.Sprintf("choose another name:  lagan join … --name NAME; if this machine is that node, start it with  lagan up; if that node is gone for good:  lagan node rm %s", j.Name),
			}
		case m.API == j.API, m.Peer == scheme+"://"+j.EtcdPeer:
			return invalid("node %s is at %s and %s already: give this one addresses of its own", m.Name, m.API, m.Peer)
		}
	}
	return nil
}

func membersOf(r *metadata.Result) (members []Member, err error) {
	for _, item := range r.Items {
		if !strings.HasPrefix(item.Key, membersPrefix) {
			continue
		}
		m, err := decode[Member](item)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}
