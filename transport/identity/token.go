package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	tokenIDBytes     = 4  // names it among the few that are valid
	tokenSecretBytes = 16 // nobody guesses it in a day
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// HashOf returns the hash of data.
func HashOf(data []byte) Hash { return sha256.Sum256(data) }

// String returns h in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error { return decodeHex(h[:], string(text)) }

// Token lets its bearer join a cluster.
//
//	id . secret . sha256(authority)
//	 8     32           64            hexadecimal digits
//
// The cluster keeps the hash of the secret. The hash of the authority tells the
// bearer which cluster it speaks to before the secret is sent.
type Token struct {
	ID        string
	Secret    string
	Authority Hash
}

// NewToken draws a token for the cluster of an authority.
func NewToken(authority Hash) Token {
	return Token{ID: draw(tokenIDBytes), Secret: draw(tokenSecretBytes), Authority: authority}
}

func draw(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// String returns the token as people pass it on.
func (t Token) String() string { return t.ID + "." + t.Secret + "." + t.Authority.String() }

// ParseToken reads what String wrote.
func ParseToken(text string) (t Token, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return Token{}, fmt.Errorf("token has %d parts, want id.secret.hash: copy the whole line that lagan token create printed", len(parts))
	}
	t.ID, t.Secret = parts[0], parts[1]
	for _, part := range []struct {
		what, text string
		into       []byte
	}{
		{"id", t.ID, make([]byte, tokenIDBytes)}, {"secret", t.Secret, make([]byte, tokenSecretBytes)}, {"hash", parts[2], t.Authority[:]},
	} {
		if err := decodeHex(part.into, part.text); err != nil {
			return Token{}, fmt.Errorf("token is damaged, its %s: %w: copy the whole line that lagan token create printed", part.what, err)
		}
	}
	return t, nil
}

// decodeHex fills into from text, which has one form for one value.
func decodeHex(into []byte, text string) error {
	if len(text) != hex.EncodedLen(len(into)) || text != strings.ToLower(text) {
		return fmt.Errorf("want %d lower-case hexadecimal digits", hex.EncodedLen(len(into)))
	}
	_, err := hex.Decode(into, []byte(text))
	return err
}

// HashOfSecret is what the cluster keeps of a token.
func HashOfSecret(secret string) Hash { return HashOf([]byte(secret)) }

// Matches reports whether secret has the hash h, in a time that says nothing
// about how much of it is right.
func (h Hash) Matches(secret string) bool {
	other := HashOfSecret(secret)
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}
