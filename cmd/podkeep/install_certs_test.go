package main

import (
	"bytes"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

// TestDryRunWithoutCluster prints the objects, and says what it could not know.
func TestDryRunWithoutCluster(t *testing.T) {
	t.Parallel()
	nowhere := filepath.Join(t.TempDir(), "kubeconfig")
	tests := map[string]struct {
		flags             []string
		wantSaid, wantOut string
	}{
		"it assumes self-signed": {wantSaid: "webhook certificates: self-signed (assumed, because there is no cluster to ask)", wantOut: "--webhook-certs=self-signed"},
		"it believes who says":   {flags: []string{"--webhook-certs=cert-manager"}, wantSaid: "webhook certificates: cert-manager (as asked)", wantOut: "kind: Issuer"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			var out, said bytes.Buffer
			root := newRootCommand(func(string) string { return "" }, programName)
			root.SetOut(&out)
			root.SetErr(&said)
			root.SetArgs(append([]string{"install", "--kubeconfig", nowhere, "--no-default-backup-location", "--no-secret", "--dry-run"}, tc.flags...))

			g.Expect(root.ExecuteContext(t.Context())).To(Succeed())

			g.Expect(said.String()).To(ContainSubstring(tc.wantSaid))
			g.Expect(out.String()).To(ContainSubstring(tc.wantOut))
		})
	}
}
