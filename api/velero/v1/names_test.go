package v1_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestValidLabelValue(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		name string
		want string
	}{
		"a short name is used as it is": {
			name: "nightly-20260131020000",
			want: "nightly-20260131020000",
		},
		"an empty name stays empty": {},
		"63 bytes are used as they are": {
			name: strings.Repeat("a", 63),
			want: strings.Repeat("a", 63),
		},
		"64 bytes end in a hash": {
			name: strings.Repeat("a", 64), // sha256sum: ffe054fe7ae0cb6d…
			want: strings.Repeat("a", 57) + "ffe054",
		},
		"names that begin alike differ": {
			name: strings.Repeat("a", 64) + "-other", // sha256sum: eee559759b188b3a…
			want: strings.Repeat("a", 57) + "eee559",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := velerov1.ValidLabelValue(tc.name)

			g.Expect(got).To(Equal(tc.want))
			g.Expect(velerov1.ValidLabelValue(got)).To(Equal(got), "once is enough")
		})
	}
}

func TestRepositoryNameLabelValue(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(velerov1.RepositoryNameLabelValue("shop-default-kopia")).To(Equal("shop-default-kopia"))
	g.Expect(velerov1.RepositoryNameLabelValue(strings.Repeat("a", 63))).To(Equal(strings.Repeat("a", 63)))
	// openssl dgst -sha3-224
	g.Expect(velerov1.RepositoryNameLabelValue(strings.Repeat("a", 64))).
		To(Equal("ce06309528da04278a8072ca96610a47298cbca3a9b6a0ee7f581316"))
}
