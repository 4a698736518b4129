package objectstore

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestListingIsBounded(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var l listing
	var err error
	key := strings.Repeat("k", 1024)
	added := 0
	for ; err == nil && added < 1_000_000; added++ {
		err = l.add(key)
	}

	g.Expect(err).To(MatchError(ErrTooManyObjects))
	g.Expect(added).To(Equal(maxListedBytes/1024 + 1))
}
