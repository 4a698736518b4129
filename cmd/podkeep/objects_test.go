package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

var update = flag.Bool("update", false, "write the golden files; never in CI")

// TestFlagsMakeObjects compares what "create -o yaml" prints, which is what
// would be sent.
func TestFlagsMakeObjects(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"backup-defaults": {"backup", "create", "shop-1"},
		"backup-all-flags": {
			"create", "backup", "shop-1", "--include-namespaces", "shop,db", "--include-namespaces", "web", "--exclude-namespaces", "test",
			"--storage-location", "second", "--default-volumes-to-fs-backup", "--ttl", "168h", "--labels", "team=shop,a=b",
			"--annotations", "why=upgrade", "--parallel-files-upload", "4",
		},
		"backup-no-volumes": {"backup", "create", "shop-1", "--default-volumes-to-fs-backup=false"},
		"restore-defaults":  {"restore", "create", "--from-backup", "shop-1"},
		"restore-all-flags": {
			"create", "restores", "back", "--from-backup", "shop-1", "--include-namespaces", "shop", "--exclude-namespaces", "db",
			"--namespace-mappings", "shop:shop-test,a:b", "--labels", "team=shop", "--annotations", "why=drill",
			"--write-sparse-files", "--parallel-files-download", "8",
		},
		"location-s3": {
			"backup-location", "create", "second", "--provider", "aws", "--bucket", "backups", "--prefix", "a/b",
			"--credential", "second-site=cloud", "--config", "region=eu-west-1,s3Url=https://s3.example.com", "--default",
			"--access-mode", "ReadOnly", "--labels", "site=2", "--validation-frequency", "0s", "--backup-sync-period", "5m",
		},
		"location-folder": {"create", "bsl", "nfs", "--provider", "filesystem", "--config", "fspath=/backups"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
			s := &session{namespace: func() (string, error) { return "velero", nil }, clock: localTime{clock.RealClock{}, now}}

			got := s.run(t.Context(), append(args, "-o", "yaml")...)

			g.Expect(got.err).To(BeEmpty())
			expectGolden(t, name+".yaml", got.out)
		})
	}
}

func expectGolden(t *testing.T, file, got string) {
	t.Helper()
	g := NewWithT(t)
	file = filepath.Join("testdata", file)
	if *update {
		g.Expect(os.WriteFile(file, []byte(got), 0o600)).To(Succeed())
	}

	want, err := os.ReadFile(file)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(string(want)))
}

func TestFlagsThatAreWrong(t *testing.T) {
	t.Parallel()
	location := []string{"backup-location", "create", "x"}
	aws := append(location, "--provider", "aws", "--bucket", "b")
	tests := map[string]struct {
		args []string
		want string
	}{
		"a mapping without a colon": {
			[]string{"restore", "create", "--from-backup", "b", "--namespace-mappings", "shop"},
			`--namespace-mappings: Invalid value: "shop": must be old:new`,
		},
		"a namespace mapped twice": {
			[]string{"restore", "create", "--from-backup", "b", "--namespace-mappings", "a:b,a:c"},
			`--namespace-mappings: Invalid value: "a:c": a is mapped to b already`,
		},
		"a time to live below zero": {
			[]string{"backup", "create", "x", "--ttl", "-1h"}, `--ttl: Invalid value: must not be negative`,
		},
		"a boolean that is none": {
			[]string{"backup", "create", "x", "--default-volumes-to-fs-backup=maybe"}, `"maybe" is neither true nor false`,
		},
		"a location without a provider": {location, `--provider: Required value: aws (any S3) or filesystem`},
		"a location with an unknown provider": {
			append(location, "--provider", "floppy"), `spec.provider: Unsupported value: "velero.io/floppy"`,
		},
		"a location without a bucket": {
			append(location, "--provider", "aws"), `spec.objectStorage.bucket: Invalid value: "": must be a bucket name without slashes`,
		},
		"a credential without a key": {append(aws, "--credential", "secret"), `--credential: Invalid value: "secret": must be secret=key`},
		"an unknown access mode":     {append(aws, "--access-mode", "Append"), `--access-mode: Unsupported value: "Append"`},
		"certificates in no file":    {append(aws, "--cacert", "/does/not/exist"), `--cacert: open /does/not/exist: no such file or directory`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := podkeep(t.Context(), nil, tc.args...)

			g.Expect(got.err).To(ContainSubstring(tc.want))
			g.Expect(got.code).To(Equal(exitFailed))
		})
	}
}

func TestCreateSaysWhatToDoNext(t *testing.T) {
	t.Parallel()
	existing := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "old"}}
	tests := map[string]struct {
		args []string
		want string
		made client.Object
	}{
		"a backup": {
			[]string{"backup", "create", "x"},
			"Backup request \"x\" submitted successfully.\nLook at it with: podkeep backup describe x\n", &velerov1.Backup{},
		},
		"a restore": {
			[]string{"restore", "create", "x", "--from-backup", "old"},
			"Restore request \"x\" submitted successfully.\nLook at it with: podkeep restore describe x\n", &velerov1.Restore{},
		},
		"a location": {
			[]string{"backup-location", "create", "x", "--provider", "aws", "--bucket", "b"},
			"Backup storage location \"x\" configured successfully.\nSee whether it can be used with: podkeep backup-location get x\n",
			&velerov1.BackupStorageLocation{},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			c := apiWith(t, interceptor.Funcs{}, existing.DeepCopy())

			got := podkeep(t.Context(), c, tc.args...)

			g.Expect(got).To(Equal(output{out: tc.want}))
			g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: "velero", Name: "x"}, tc.made)).To(Succeed())
		})
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	one := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "one", Labels: map[string]string{"team": "shop"}}}
	two := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "two"}}
	tests := map[string][]string{
		"get-all.json":      {"backup", "get", "-o", "json"},
		"get-one.yaml":      {"get", "backup", "one", "-o", "yaml"},
		"get-selected.yaml": {"get", "backups", "-l", "team=shop", "-o", "yaml"},
		"get-table.txt":     {"backups", "get"},
		"get-labels.txt":    {"backups", "get", "two", "one", "-L", "team"},
	}
	for file, args := range tests {
		t.Run(file, func(t *testing.T) {
			t.Parallel()

			got := podkeep(t.Context(), apiWith(t, interceptor.Funcs{}, one.DeepCopy(), two.DeepCopy()), args...)

			NewWithT(t).Expect(got.err).To(BeEmpty())
			expectGolden(t, file, got.out)
		})
	}
}
