package etcd

import (
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// verdict is what an error says about the transaction that met it.
type verdict uint8

const (
	unknown   verdict = iota // applied, not applied, or applied later
	untouched                // never applied; another try may succeed
	leaseGone                // never applied: its lease does not exist any more
	rejected                 // never applied, and never will be as it is
)

// proposalDropped is the text of raft's refusal of a proposal, which etcd hands
// on without a code of its own: there is no leader, or it is handing over.
const proposalDropped = "raft proposal dropped"

// tooLarge is what both ends of a connection say of a message beyond their
// limit. Neither hands it on.
const tooLarge = "message larger than max"

// judge tells what err proves. departed: the call was given to a connection.
// What is not proven is unknown; a timeout, a change of leader and a broken
// connection prove nothing, and neither does a lack of space: the write that
// meets the limit first is applied all the same.
func judge(err error, departed bool) verdict {
	if !departed {
		return untouched
	}
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return leaseGone
	case isAny(err,
		rpctypes.ErrNoLeader,                                    // asked before the request is looked at
		rpctypes.ErrTooManyRequests,                             // asked before it is proposed
		rpctypes.ErrNotCapable,                                  // the member is starting
		rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)), // another member can
		rpctypes.ErrorDesc(err) == proposalDropped:
		return untouched
	case isAny(err,
		rpctypes.ErrEmptyKey, rpctypes.ErrDuplicateKey, rpctypes.ErrTooManyOps, rpctypes.ErrRequestTooLarge,
		rpctypes.ErrUserEmpty, rpctypes.ErrPermissionDenied, rpctypes.ErrInvalidAuthToken):
		return rejected
	case status.Code(err) == codes.ResourceExhausted && strings.Contains(rpctypes.ErrorDesc(err), tooLarge):
		return rejected
	}
	return unknown
}

func isAny(err error, these ...error) bool {
	for _, e := range these {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
