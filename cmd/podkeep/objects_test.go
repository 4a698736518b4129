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
	template := []string{
		"--include-namespaces", "shop,db", "--include-namespaces", "web", "--exclude-namespaces", "test",
		"--storage-location", "second", "--volume-snapshot-locations", "ebs,gp3", "--default-volumes-to-fs-backup", "--snapshot-volumes=false",
		"--snapshot-move-data", "--data-mover", "other", "--csi-snapshot-timeout", "20m", "--item-operation-timeout", "1h", "--ttl", "168h",
		"--ordered-resources", "pods=shop/a,shop/b; persistentvolumes = pv", "--resource-policies-configmap", "policies",
		"--labels", `team=shop,"a=b,c"`, "--annotations", "why=upgrade", "--parallel-files-upload", "4",
	}
	tests := map[string][]string{
		"backup-defaults":   {"backup", "create", "shop-1"},
		"backup-all-flags":  append([]string{"create", "backup", "shop-1"}, template...),
		"backup-no-volumes": {"backup", "create", "shop-1", "--default-volumes-to-fs-backup=false"},
		"backup-old-filters": {
			"backup", "create", "shop-1", "--include-resources", "pods,secrets", "--exclude-resources", "events",
			"--include-cluster-resources=false", "-l", "app in (shop,db),!test",
		},
		"backup-new-filters": {
			"backup", "create", "shop-1", "--include-cluster-scoped-resources", "storageclasses", "--exclude-cluster-scoped-resources", "*",
			"--include-namespace-scoped-resources", "*", "--exclude-namespace-scoped-resources", "events", "--or-selector", "app=shop or app=db,tier=x",
		},
		"schedule-defaults":  {"schedule", "create", "nightly", "--schedule", "@daily"},
		"schedule-all-flags": append([]string{"create", "schedule", "nightly", "--schedule", "CRON_TZ=Europe/Berlin 0 2 * * *", "--paused", "--use-owner-references-in-backup", "--skip-immediately", "true"}, template...),
		"restore-defaults":   {"restore", "create", "--from-backup", "shop-1"},
		"restore-schedule":   {"restore", "create", "--from-schedule", "nightly"},
		"restore-all-flags": {
			"create", "restores", "back", "--from-backup", "shop-1", "--include-namespaces", "shop", "--exclude-namespaces", "db",
			"--namespace-mappings", "shop:shop-test,a:b", "--labels", "team=shop", "--annotations", "why=drill",
			"--include-resources", "pods", "--exclude-resources", "secrets", "--include-cluster-resources", "--selector", "app=shop",
			"--existing-resource-policy", "update", "--status-include-resources", "jobs", "--status-exclude-resources", "pods",
			"--item-operation-timeout", "1h", "--restore-volumes=false", "--preserve-nodeports", "--resource-modifier-configmap", "changes",
			"--write-sparse-files", "--parallel-files-download", "8",
		},
		"restore-or-selector": {"restore", "create", "x", "--from-backup", "shop-1", "--or-selector", "a=b or c=d"},
		"location-s3": {
			"backup-location", "create", "second", "--provider", "aws", "--bucket", "backups", "--prefix", "a/b",
			"--credential", "second-site=cloud", "--config", "region=eu-west-1,s3Url=https://s3.example.com", "--default",
			"--access-mode", "ReadOnly", "--labels", "site=2", "--validation-frequency", "0s", "--backup-sync-period", "5m",
		},
		"location-folder":   {"create", "bsl", "nfs", "--provider", "filesystem", "--config", "fspath=/backups"},
		"snapshot-location": {"snapshot-location", "create", "ebs", "--provider", "aws", "--config", "region=eu-west-1", "--labels", "a=b", "--credential", "x=y"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
			s := newSession(nil)
			s.clock = localTime{clock.RealClock{}, now}

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
			`invalid argument "shop" for "--namespace-mappings" flag: "shop" must be key:value`,
		},
		"a namespace mapped twice": {
			[]string{"restore", "create", "--from-backup", "b", "--namespace-mappings", "a:b,a:c"},
			`invalid argument "a:b,a:c" for "--namespace-mappings" flag: "a:c": a has the value b already`,
		},
		"a time to live below zero": {
			[]string{"backup", "create", "x", "--ttl", "-1h"}, `--ttl: Invalid value: must not be negative`,
		},
		"a mapping to what is no namespace": {
			[]string{"restore", "create", "--from-backup", "b", "--namespace-mappings", "shop:a:b"},
			`--namespace-mappings: Invalid value: "shop:a:b": must be old:new with a name of a namespace`,
		},
		"two sources": {
			[]string{"restore", "create", "--from-backup", "b", "--from-schedule", "s"},
			`--from-backup and --from-schedule exclude each other`,
		},
		"two selectors": {
			[]string{"backup", "create", "x", "-l", "a=b", "--or-selector", "c=d"}, `--selector and --or-selector exclude each other`,
		},
		"a selector that is none": {[]string{"backup", "create", "x", "-l", "a in b"}, `"a in b" is no label selector`},
		"two styles of filters": {
			[]string{"backup", "create", "x", "--include-resources", "pods", "--exclude-cluster-scoped-resources", "nodes"},
			`cannot be used together with --(include|exclude)-(cluster|namespace)-scoped-resources`,
		},
		"all and some":      {[]string{"backup", "create", "x", "--include-namespaces", "*,a"}, `--include-namespaces: Invalid value: "*,a"`},
		"all left out":      {[]string{"backup", "create", "x", "--exclude-namespaces", "*"}, `--exclude-namespaces: Invalid value: "*"`},
		"in and out":        {[]string{"backup", "create", "x", "--include-resources", "a,b", "--exclude-resources", "b"}, `--exclude-resources: Invalid value: "b"`},
		"an order of none":  {[]string{"backup", "create", "x", "--ordered-resources", "pods"}, `--ordered-resources: Invalid value: "pods": must be resource=item,item`},
		"an unknown policy": {[]string{"restore", "create", "--from-backup", "b", "--existing-resource-policy", "merge"}, `supported values: none, update`},
		"a status that is only left out": {
			[]string{"restore", "create", "--from-backup", "b", "--status-exclude-resources", "pods"}, `--status-exclude-resources needs --status-include-resources`,
		},
		"a schedule with a wrong time":           {[]string{"schedule", "create", "x", "--schedule", "0 25 * * *"}, `--schedule: Invalid value: "0 25 * * *": `},
		"a schedule without a time":              {[]string{"schedule", "create", "x"}, `--schedule: Required value`},
		"an empty schedule":                      {[]string{"backup", "create", "--from-schedule", " "}, `--from-schedule: Required value`},
		"a snapshot location without a provider": {[]string{"snapshot-location", "create", "x"}, `--provider: Required value`},
		"nothing to delete":                      {[]string{"backup", "delete"}, "name the backups to delete, or pass either --all or --selector; list them with: podkeep backup get"},
		"names and all":                          {[]string{"delete", "schedules", "x", "--all"}, "name the schedules to delete, or pass either --all or --selector"},
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
		"a credential without a key": {append(aws, "--credential", "secret"), `invalid argument "secret" for "--credential" flag: "secret" must be key=value`},
		"an unknown access mode":     {append(aws, "--access-mode", "Append"), `--access-mode: Unsupported value: "Append"`},
		"two credentials":            {append(aws, "--credential", "a=b,c=d"), `--credential: Invalid value: "a=b,c=d": a location has one credential only`},
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
			"Backup request \"x\" submitted successfully.\nRun `podkeep backup describe x` or `podkeep backup logs x` for more details.\n", &velerov1.Backup{},
		},
		"a restore": {
			[]string{"restore", "create", "x", "--from-backup", "old"},
			"Restore request \"x\" submitted successfully.\nRun `podkeep restore describe x` or `podkeep restore logs x` for more details.\n", &velerov1.Restore{},
		},
		"a schedule": {
			[]string{"schedule", "create", "x", "--schedule", "@daily"},
			"Schedule \"x\" created successfully.\nLook at it with: podkeep schedule describe x\n", &velerov1.Schedule{},
		},
		"a snapshot location": {
			[]string{"snapshot-location", "create", "x", "--provider", "aws"},
			"Snapshot volume location \"x\" configured successfully.\n", &velerov1.VolumeSnapshotLocation{},
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
