package layout

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// fixture is a file that Velero 1.18 wrote, not compressed.
func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "velero-1.18", name))
	NewWithT(tb).Expect(err).NotTo(HaveOccurred())
	return b
}

func compress(tb testing.TB, content []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	NewWithT(tb).Expect(errors.Join(err, w.Close())).To(Succeed())
	return b.Bytes()
}

func decompress(tb testing.TB, content []byte) string {
	tb.Helper()
	g := NewWithT(tb)
	r, err := gzip.NewReader(bytes.NewReader(content))
	g.Expect(err).NotTo(HaveOccurred())
	b, err := io.ReadAll(r)
	g.Expect(err).NotTo(HaveOccurred())
	return string(b)
}

func encode(tb testing.TB, v any) string {
	tb.Helper()
	var b bytes.Buffer
	NewWithT(tb).Expect(EncodeJSONGzip(&b, v)).To(Succeed())
	return decompress(tb, b.Bytes())
}

// What Velero wrote, read and written again, is the same byte for byte.
func TestVeleroFilesSurviveRoundTrip(t *testing.T) {
	t.Parallel()
	for name, into := range map[string]any{
		"podvolumebackups.json": &[]velerov1.PodVolumeBackup{},
		"volumesnapshots.json":  &[]NativeSnapshot{},
		"itemoperations.json":   &BackupItemOperationList{},
		"resource-list.json":    &ResourceList{},
		"results.json":          &Results{},
		"volumeinfo.json":       &VolumeInfoList{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			want := fixture(t, name)

			err := DecodeJSONGzip(bytes.NewReader(compress(t, want)), into)

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(encode(t, into)).To(Equal(string(want)))
		})
	}
}

func TestVeleroBackupSurvivesRoundTrip(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	want := fixture(t, "velero-backup.json")

	b, err := DecodeBackup(bytes.NewReader(want))
	g.Expect(err).NotTo(HaveOccurred())
	got, err := EncodeBackup(b)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(got)).To(Equal(string(want)))
}

func TestEmptyLists(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value any
		want  string
	}{
		"no pod volume backups are null":    {[]velerov1.PodVolumeBackup(nil), "null\n"},
		"no snapshots are null":             {[]NativeSnapshot(nil), "null\n"},
		"no backup operations are a list":   {BackupItemOperationList(nil), "[]\n"},
		"no restore operations are a list":  {RestoreItemOperationList(nil), "[]\n"},
		"no volume info is a list":          {VolumeInfoList(nil), "[]\n"},
		"no restored volume info is a list": {RestoreVolumeInfoList(nil), "[]\n"},
		"no results are empty objects":      {Results{}, `{"errors":{},"warnings":{}}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(encode(t, tc.value)).To(Equal(tc.want))
		})
	}
}

func TestJSONShapes(t *testing.T) {
	t.Parallel()
	ready := true
	iops := int64(3)
	at := metav1.Unix(0, 0)
	for name, tc := range map[string]struct {
		value any
		want  string
	}{
		"a skipped volume": {
			VolumeInfoList{{PVName: "pv", Skipped: true, SkippedReason: "fs: x;", PVInfo: &PVInfo{ReclaimPolicy: "Retain"}}},
			`[{"pvName":"pv","snapshotDataMoved":false,"preserveLocalSnapshot":false,"skipped":true,"skippedReason":"fs: x;","pvInfo":{"reclaimPolicy":"Retain","labels":null}}]`,
		},
		"a CSI snapshot": {
			VolumeInfoList{{BackupMethod: BackupMethodCSISnapshot, PreserveLocalSnapshot: true, CSISnapshotInfo: &CSISnapshotInfo{SnapshotHandle: "h", SizeBytes: 1, Driver: "d", VSCName: "v", ReadyToUse: &ready}}},
			`[{"backupMethod":"CSISnapshot","snapshotDataMoved":false,"preserveLocalSnapshot":true,"skipped":false,"csiSnapshotInfo":{"snapshotHandle":"h","size":1,"driver":"d","vscName":"v","ReadyToUse":true}}]`,
		},
		"moved data and a native snapshot": {
			VolumeInfo{SnapshotDataMovementInfo: &SnapshotDataMovementInfo{}, NativeSnapshotInfo: &NativeSnapshotInfo{}},
			`{"snapshotDataMoved":false,"preserveLocalSnapshot":false,"skipped":false,"snapshotDataMovementInfo":{"dataMover":"","uploaderType":"","snapshotHandle":"","operationID":"","size":0,"Phase":""},"nativeSnapshotInfo":{"snapshotHandle":"","volumeType":"","volumeAZ":"","iops":"","Phase":""}}`,
		},
		"a restored volume": {
			RestoreVolumeInfoList{{PVCName: "c", PVCNamespace: "n", PVName: "pv", RestoreMethod: RestoreMethodPodVolumeRestore, PodVolumeInfo: &PodVolumeInfo{SnapshotHandle: "s", SizeBytes: 5, UploaderType: "kopia", VolumeName: "v", PodName: "p", PodNamespace: "n"}}},
			`[{"pvcName":"c","pvcNamespace":"n","pvName":"pv","restoreMethod":"PodVolumeRestore","snapshotDataMoved":false,"pvrInfo":{"snapshotHandle":"s","size":5,"uploaderType":"kopia","volumeName":"v","podName":"p","podNamespace":"n","Phase":""}}]`,
		},
		"a native snapshot record": {
			[]NativeSnapshot{{Spec: NativeSnapshotSpec{BackupName: "b", VolumeIOPS: &iops}, Status: NativeSnapshotStatus{Phase: "Completed"}}},
			`[{"spec":{"backupName":"b","backupUID":"","location":"","persistentVolumeName":"","providerVolumeID":"","volumeType":"","volumeIOPS":3},"status":{"phase":"Completed"}}]`,
		},
		"a backup operation": {
			BackupItemOperationList{{Spec: BackupItemOperationSpec{BackupName: "b", ResourceIdentifier: ResourceIdentifier{Group: "apps", Resource: "deployments", Namespace: "n", Name: "d"}}, Status: ItemOperationStatus{Phase: "New", Created: &at}}},
			`[{"spec":{"backupName":"b","backupUID":"","backupItemAction":"","resourceIdentifier":{"Group":"apps","Resource":"deployments","Namespace":"n","Name":"d"},"operationID":"","postOperationItems":null},"status":{"phase":"New","created":"1970-01-01T00:00:00Z"}}]`,
		},
		"a restore operation": {
			RestoreItemOperationList{{Spec: RestoreItemOperationSpec{RestoreName: "r"}}},
			`[{"spec":{"restoreName":"r","restoreUID":"","restoreItemAction":"","resourceIdentifier":{"Group":"","Resource":"","Namespace":"","Name":""},"operationID":""},"status":{}}]`,
		},
		"HTML characters are escaped": {
			Results{Errors: ResultSet{Velero: []string{"<&>"}}},
			`{"errors":{"velero":["\u003c\u0026\u003e"]},"warnings":{}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(encode(t, tc.value)).To(Equal(tc.want + "\n"))
		})
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var s, other ResultSet

	s.Add("shop", "one")
	s.Add("", "two")
	s.AddGeneral("three")
	other.Add("shop", "four")
	other.AddGeneral("five")
	s.Merge(other)

	g.Expect(s).To(Equal(ResultSet{
		Velero:     []string{"three", "five"},
		Cluster:    []string{"two"},
		Namespaces: map[string][]string{"shop": {"one", "four"}},
	}))
	g.Expect(s.Count()).To(Equal(5))
}

func TestResourceList(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := ResourceList{}

	l.Add(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, ItemName("b", "x"))
	l.Add(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, ItemName("a", "x"))
	l.Add(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, ItemName("", "a"))
	l.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, RestoredItem("a", "x", RestoreActionSkipped))
	l.Sort()

	g.Expect(l).To(Equal(ResourceList{
		"v1/Pod":             {"a/x", "b/x"},
		"v1/Namespace":       {"a"},
		"apps/v1/Deployment": {"a/x(skipped)"},
	}))
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	whole := compress(t, fixture(t, "volumeinfo.json"))
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-6] ^= 0xff // in the checksum

	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                {nil, ErrCorrupt},
		"what is not compressed": {fixture(t, "volumeinfo.json"), ErrCorrupt},
		"half a file":            {whole[:len(whole)/2], ErrCorrupt},
		"a file without its end": {whole[:len(whole)-1], ErrCorrupt},
		"a wrong checksum":       {damaged, ErrCorrupt},
		"rubbish after the file": {append(bytes.Clone(whole), "rubbish"...), ErrCorrupt},
		"another type":           {compress(t, []byte(`{"a":1}`)), ErrCorrupt},
		"an entry of a type":     {compress(t, []byte(`[{"pvcName":["a"]}]`)), ErrCorrupt},
		"two documents":          {compress(t, []byte("[]\n[]\n")), ErrCorrupt},
		"two files":              {append(bytes.Clone(whole), whole...), ErrCorrupt},
		"more spaces than text":  {compress(t, []byte(strings.Repeat(" ", MaxJSONBytes))), ErrTooLarge},
		"one large field":        {compress(t, []byte(`[{"pvcName":"`+strings.Repeat("x", maxStringBytes+1)+`"}]`)), ErrTooLarge},
		"deep nesting":           {compress(t, []byte(strings.Repeat(`[`, maxDepth+1))), ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l VolumeInfoList

			err := DecodeJSONGzip(bytes.NewReader(tc.data), &l)

			NewWithT(t).Expect(err).To(MatchError(tc.want))
		})
	}
}

func TestDecodeNamesTheLimit(t *testing.T) {
	t.Parallel()
	limits := jsonLimits
	limits.MaxBytes = 100

	err := decodeJSONGzip(bytes.NewReader(compress(t, make([]byte, 101))), &Results{}, limits)

	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("more than 100 bytes")))
}

// A backup with as many volumes as the bounds promise is read.
func TestDecodeTakesManyVolumes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var fromVelero []velerov1.PodVolumeBackup
	g.Expect(DecodeJSONGzip(bytes.NewReader(compress(t, fixture(t, "podvolumebackups.json"))), &fromVelero)).To(Succeed())
	var content bytes.Buffer
	g.Expect(EncodeJSONGzip(&content, slices.Repeat(fromVelero[:1], 10_000))).To(Succeed())
	var got []velerov1.PodVolumeBackup

	g.Expect(DecodeJSONGzip(&content, &got)).To(Succeed())

	g.Expect(got).To(HaveLen(10_000))
	g.Expect(got[9_999]).To(Equal(fromVelero[0]))
}

func TestDecodePassesReadErrorsOn(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	broken := errors.New("connection broke")
	half := bytes.NewReader(compress(t, fixture(t, "volumeinfo.json"))[:50])

	g.Expect(DecodeJSONGzip(io.MultiReader(half, iotest.ErrReader(broken)), &VolumeInfoList{})).To(MatchError(broken))
	_, err := DecodeBackup(iotest.ErrReader(broken))
	g.Expect(err).To(MatchError(broken))
}

func TestDecodeBackupRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data string
		want error
	}{
		"nothing":           {"", ErrCorrupt},
		"another kind":      {`{"apiVersion":"velero.io/v1","kind":"Restore","metadata":{"name":"x"}}`, ErrCorrupt},
		"another version":   {`{"apiVersion":"velero.io/v2","kind":"Backup","metadata":{"name":"x"}}`, ErrCorrupt},
		"no kind":           {`{"metadata":{"name":"x"}}`, ErrCorrupt},
		"no name":           {`{"apiVersion":"velero.io/v1","kind":"Backup"}`, ErrCorrupt},
		"a list":            {`[]`, ErrCorrupt},
		"half an object":    {`{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"x"}`, ErrCorrupt},
		"a wrong type":      {named(`"x","labels":["a"]`), ErrCorrupt},
		"a wrong time":      {named(`"x","creationTimestamp":"yesterday"`), ErrCorrupt},
		"a name with NUL":   {named(`"x\u0000"`), ErrCorrupt},
		"a path as a name":  {named(`"../x"`), ErrCorrupt},
		"two lines":         {named(`"x\ny"`), ErrCorrupt},
		"a long name":       {named(`"` + strings.Repeat("x", 254) + `"`), ErrCorrupt},
		"more than allowed": {strings.Repeat(" ", MaxBackupBytes+1), ErrTooLarge},
		"one large field":   {named(`"` + strings.Repeat("x", maxStringBytes+1) + `"`), ErrTooLarge},
		"deep nesting":      {`{"spec":` + strings.Repeat(`{"a":`, maxDepth), ErrTooLarge},
		"many small values": {`{"spec":{"hooks":{"resources":[` + strings.Repeat("{},", 250_000), ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := DecodeBackup(strings.NewReader(tc.data))

			NewWithT(t).Expect(err).To(MatchError(tc.want))
		})
	}
}

// named is a Backup whose metadata begins with that name.
func named(name string) string {
	return `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":` + name + `}}`
}

func TestDecodeBackupNamesTheFieldInOneLine(t *testing.T) {
	t.Parallel()
	_, err := DecodeBackup(strings.NewReader(named(`"` + strings.Repeat(`\n`, 1000) + `"`)))

	NewWithT(t).Expect(err).To(MatchError(And(ContainSubstring("metadata.name"), Not(ContainSubstring("\n")))))
	NewWithT(t).Expect(len(err.Error())).To(BeNumerically("<", 1000))
}

func TestEncodeBackupLeavesItsArgument(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	b := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "x"}}

	out, err := EncodeBackup(b)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(b.Kind).To(BeEmpty())
	g.Expect(string(out)).To(HavePrefix("{\n  \"kind\": \"Backup\",\n  \"apiVersion\": \"velero.io/v1\",\n"))
}

// Decoders take what a stranger wrote: they may refuse it, but not panic, and
// what they accept can be written again.
func FuzzDecodeBackup(f *testing.F) {
	f.Add(fixture(f, "velero-backup.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBackup(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := EncodeBackup(b)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		_, err = DecodeBackup(bytes.NewReader(again))
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
	})
}

// fuzzDecode is the fuzz target of one kind of document: what is refused has one
// of the two sentinels, and what is taken can be written and read again.
func fuzzDecode[T any](f *testing.F, seeds ...[]byte) {
	f.Helper()
	for _, seed := range append(seeds, []byte("null"), []byte("[]"), []byte("{}"), []byte(`[{"spec":null},{"Phase":1}]`), []byte(strings.Repeat("[", 300))) {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, packed bool) {
		g := NewWithT(t)
		if packed {
			data = compress(t, data)
		}
		var v, again T
		if err := DecodeJSONGzip(bytes.NewReader(data), &v); err != nil {
			g.Expect(errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge)).To(BeTrue(), err.Error())
			return
		}
		var b bytes.Buffer
		g.Expect(EncodeJSONGzip(&b, v)).To(Succeed())
		g.Expect(DecodeJSONGzip(&b, &again)).To(Succeed())
	})
}

func FuzzDecodePodVolumeBackups(f *testing.F) {
	fuzzDecode[[]velerov1.PodVolumeBackup](f, fixture(f, "podvolumebackups.json"))
}

func FuzzDecodeVolumeInfo(f *testing.F) {
	fuzzDecode[VolumeInfoList](f, fixture(f, "volumeinfo.json"))
}

func FuzzDecodeRestoreVolumeInfo(f *testing.F) {
	fuzzDecode[RestoreVolumeInfoList](f, []byte(`[{"pvcName":"c","restoreMethod":"PodVolumeRestore","pvrInfo":{"Phase":""}}]`))
}

func FuzzDecodeResults(f *testing.F) {
	fuzzDecode[Results](f, fixture(f, "results.json"), []byte(`{"errors":{"velero":["x"],"namespaces":{"a":["y"]}},"warnings":{"cluster":[]}}`))
}

func FuzzDecodeResourceList(f *testing.F) {
	fuzzDecode[ResourceList](f, fixture(f, "resource-list.json"))
}

func FuzzDecodeBackupItemOperations(f *testing.F) {
	fuzzDecode[BackupItemOperationList](f, fixture(f, "itemoperations.json"), []byte(`[{"spec":{"resourceIdentifier":{"Group":"apps"}},"status":{"phase":"New","created":"1970-01-01T00:00:00Z"}}]`))
}

func FuzzDecodeRestoreItemOperations(f *testing.F) {
	fuzzDecode[RestoreItemOperationList](f, []byte(`[{"spec":{"restoreName":"r"},"status":{}}]`))
}

func FuzzDecodeVolumeSnapshots(f *testing.F) {
	fuzzDecode[[]NativeSnapshot](f, fixture(f, "volumesnapshots.json"), []byte(`[{"spec":{"backupName":"b","volumeIOPS":3},"status":{"phase":"Completed"}}]`))
}

func FuzzDecodeInterim(f *testing.F) {
	fuzzDecode[Interim](f, []byte(`{"backupUID":"u","cluster":"c","until":"2026-01-01T00:00:00Z"}`))
}
