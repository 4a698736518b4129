package schema

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	. "github.com/onsi/gomega"
)

// bucket is a bucket that a case changes.
type bucket struct {
	t *testing.T
	fstest.MapFS
}

// veleros is what real Velero 1.18 wrote, without the data of volumes.
func veleros(t *testing.T) bucket {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "velero-1.18.tar.gz"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	b := bucket{t: t, MapFS: fstest.MapFS{}}
	for _, e := range untar(t, content) {
		if e.header.Typeflag == tar.TypeReg {
			b.set(e.header.Name, e.content)
		}
	}
	return b
}

func (b bucket) set(key string, content []byte) { b.MapFS[key] = &fstest.MapFile{Data: content} }

func pack(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (b bucket) unpack(key string) []byte {
	b.t.Helper()
	g := NewWithT(b.t)
	g.Expect(b.MapFS).To(HaveKey(key))
	zr, err := gzip.NewReader(bytes.NewReader(b.MapFS[key].Data))
	g.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(zr)
	g.Expect(err).NotTo(HaveOccurred())
	return content
}

// replace replaces text in the content of a compressed object; it must be there.
func (b bucket) replace(key, old, with string) {
	b.t.Helper()
	content := string(b.unpack(key))
	NewWithT(b.t).Expect(content).To(ContainSubstring(old))
	b.set(key, pack([]byte(strings.ReplaceAll(content, old, with))))
}

// replacePlain is replace for an object that is not compressed.
func (b bucket) replacePlain(key, old, with string) {
	b.t.Helper()
	content := string(b.MapFS[key].Data)
	NewWithT(b.t).Expect(content).To(ContainSubstring(old))
	b.set(key, []byte(strings.ReplaceAll(content, old, with)))
}

// edit changes a compressed JSON document.
func (b bucket) edit(key string, change func(document any) any) {
	b.t.Helper()
	var v any
	g := NewWithT(b.t)
	g.Expect(json.Unmarshal(b.unpack(key), &v)).To(Succeed())
	var out bytes.Buffer
	g.Expect(json.NewEncoder(&out).Encode(change(v))).To(Succeed())
	b.set(key, pack(out.Bytes()))
}

// editEntry changes the first entry of a list of objects.
func (b bucket) editEntry(key string, change func(entry map[string]any)) {
	b.t.Helper()
	b.edit(key, func(document any) any {
		list, _ := document.([]any)
		entry, _ := list[0].(map[string]any)
		change(entry)
		return document
	})
}

// at is an object in an object.
func at(o map[string]any, path ...string) map[string]any {
	for _, p := range path {
		o, _ = o[p].(map[string]any)
	}
	return o
}

// entry is one entry of a tar file.
type entry struct {
	header  tar.Header
	content []byte
}

func untar(t *testing.T, packed []byte) []entry {
	t.Helper()
	g := NewWithT(t)
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	g.Expect(err).NotTo(HaveOccurred())
	tr := tar.NewReader(zr)
	var all []entry
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		g.Expect(err).NotTo(HaveOccurred())
		content, err := io.ReadAll(tr)
		g.Expect(err).NotTo(HaveOccurred())
		all = append(all, entry{*h, content})
	}
}

// editArchive changes the entries of the item archive.
func (b bucket) editArchive(change func(entries []entry) []entry) {
	b.t.Helper()
	g := NewWithT(b.t)
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for _, e := range change(untar(b.t, b.MapFS[archiveKey].Data)) {
		e.header.Size = int64(len(e.content))
		g.Expect(tw.WriteHeader(&e.header)).To(Succeed())
		_, err := tw.Write(e.content)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(errors.Join(tw.Close(), zw.Close())).To(Succeed())
	b.set(archiveKey, out.Bytes())
}

// editItem changes the plain entry of an item and its copy.
func (b bucket) editItem(name string, change func(e *entry)) {
	b.t.Helper()
	found := 0
	resource, rest, _ := strings.Cut(name, "/")
	b.editArchive(func(entries []entry) []entry {
		for i := range entries {
			if p := entries[i].header.Name; strings.HasPrefix(p, "resources/"+resource+"/") && strings.HasSuffix(p, "/"+rest) {
				change(&entries[i])
				found++
			}
		}
		return entries
	})
	NewWithT(b.t).Expect(found).To(Equal(2), name)
}

func (e *entry) replace(old, with string) {
	e.content = []byte(strings.ReplaceAll(string(e.content), old, with))
}

const (
	base          = "backups/shop-1/"
	metadataKey   = base + "velero-backup.json"
	archiveKey    = base + "shop-1.tar.gz"
	logKey        = base + "shop-1-logs.gz"
	volumesKey    = base + "shop-1-podvolumebackups.json.gz"
	snapshotsKey  = base + "shop-1-volumesnapshots.json.gz"
	operationsKey = base + "shop-1-itemoperations.json.gz"
	listKey       = base + "shop-1-resource-list.json.gz"
	resultsKey    = base + "shop-1-results.gz"
	infoKey       = base + "shop-1-volumeinfo.json.gz"

	restoreBase     = "restores/r/"
	restoreLogKey   = restoreBase + "restore-r-logs.gz"
	restoreListKey  = restoreBase + "restore-r-resource-list.json.gz"
	restoreInfoKey  = restoreBase + "r-volumeinfo.json.gz"
	restoreOpsKey   = restoreBase + "restore-r-itemoperations.json.gz"
	restoredResults = restoreBase + "restore-r-results.gz"
)

// withRestore adds the objects of a restore.
func (b bucket) withRestore() {
	b.set(restoreLogKey, pack([]byte(`time="2026-11-22T07:52:26Z" level=info msg="one \"two\"" restore=velero/r`+"\n")))
	b.set(restoreListKey, pack([]byte(`{"apps/v1/Deployment":["shop/web(created)"],"v1/Namespace":["shop(skipped)"]}`+"\n")))
	b.set(restoredResults, pack([]byte(`{"errors":{},"warnings":{}}`+"\n")))
	b.set(restoreOpsKey, pack([]byte("[]\n")))
	b.set(restoreInfoKey, pack([]byte(`[{"pvcName":"c","pvcNamespace":"shop","pvName":"pv","restoreMethod":"PodVolumeRestore","snapshotDataMoved":false,`+
		`"pvrInfo":{"snapshotHandle":"720c9fa04a9b301e4b32e72902d35d64","size":5,"uploaderType":"kopia","volumeName":"v","podName":"p","podNamespace":"shop","Phase":""}}]`+"\n")))
}

func problemsOf(t *testing.T, b bucket) []Problem {
	t.Helper()
	problems, err := Check(b.MapFS)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return problems
}

func TestVelerosBucketHasNoProblems(t *testing.T) {
	t.Parallel()
	b := veleros(t)
	b.withRestore()
	b.set("loose-object", nil)
	b.set("plugins/x", nil)
	b.set(".sgwtmp/multipart/x", nil)

	NewWithT(t).Expect(problemsOf(t, b)).To(BeEmpty())
}

// allowed are changes that break nothing.
func TestAllowed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b bucket){
		"fields that podkeep adds": func(b bucket) {
			b.editEntry(volumesKey, func(v map[string]any) {
				at(v, "status")["conditions"] = []any{map[string]any{"type": "Completed"}}
				at(v, "status")["skippedFiles"] = 1
			})
		},
		"a failed volume": func(b bucket) {
			b.editEntry(volumesKey, func(v map[string]any) {
				at(v, "status")["phase"] = "Failed"
				delete(at(v, "status"), "snapshotID")
			})
			b.editEntry(infoKey, func(v map[string]any) {
				v["result"] = "failed"
				at(v, "pvbInfo")["Phase"] = "Failed"
				delete(at(v, "pvbInfo"), "snapshotHandle")
			})
		},
		"log lines in JSON": func(b bucket) {
			b.set(logKey, pack([]byte(`{"backup":"velero/shop-1","level":"info","msg":"x","time":"2026-11-22T07:52:26Z"}`+"\n")))
		},
		"a log of several members": func(b bucket) { b.set(logKey, append(b.MapFS[logKey].Data, b.MapFS[logKey].Data...)) },
		"an errors count": func(b bucket) {
			b.replacePlain(metadataKey, `"phase": "Completed",`, "\"phase\": \"PartiallyFailed\",\n    \"errors\": 1,")
			b.set(resultsKey, pack([]byte(`{"errors":{"namespaces":{"shop":["x"]}},"warnings":{}}`+"\n")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := veleros(t)
			change(b)
			NewWithT(t).Expect(problemsOf(t, b)).To(BeEmpty())
		})
	}
}

// breach is a change, and the rule that it breaks.
type breach struct {
	change func(b bucket)
	rule   Rule
	detail string
}

func TestEachBreachIsFound(t *testing.T) {
	t.Parallel()
	breaches := map[string]breach{}
	for _, group := range []map[string]breach{bucketBreaches(), metadataBreaches(), volumeBreaches(), volumeInfoBreaches(), archiveBreaches(), smallBreaches(), restoreBreaches()} {
		maps.Copy(breaches, group)
	}
	rules := map[Rule]bool{}
	for name, tc := range breaches {
		rules[tc.rule] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			b := veleros(t)
			b.withRestore()
			tc.change(b)

			problems := problemsOf(t, b)

			g.Expect(problems).To(ContainElement(And(HaveField("Rule", tc.rule), HaveField("Detail", ContainSubstring(tc.detail)))))
		})
	}
	for _, rule := range []Rule{RuleTopLevel, RuleObjects, RuleName, RuleGzip, RuleJSON, RuleField, RuleRequired, RuleType, RuleEnum, RuleIdentity, RulePhase,
		RuleCount, RuleFinalizer, RuleSnapshot, RuleVolumeInfo, RuleEntry, RulePath, RuleCopy, RuleItem, RuleClaim, RuleList, RuleLog, RuleRepository} {
		NewWithT(t).Expect(rules).To(HaveKey(rule), "no case breaks it")
	}
}

func bucketBreaches() map[string]breach {
	return map[string]breach{
		"a foreign folder at the top":       {func(b bucket) { b.set("photos/a", nil) }, RuleTopLevel, "unavailable"},
		"an object in backups/ itself":      {func(b bucket) { b.set("backups/x", nil) }, RuleObjects, "in no folder"},
		"a foreign object in a backup":      {func(b bucket) { b.set(base+"notes.txt", nil) }, RuleObjects, "no object of Velero"},
		"an object of another name":         {func(b bucket) { b.set(base+"shop-2-logs.gz", nil) }, RuleObjects, "no object of Velero"},
		"no metadata":                       {func(b bucket) { delete(b.MapFS, metadataKey) }, RuleObjects, "is missing"},
		"no volume information":             {func(b bucket) { delete(b.MapFS, infoKey) }, RuleObjects, "is missing"},
		"no log":                            {func(b bucket) { delete(b.MapFS, logKey) }, RuleObjects, "is missing"},
		"a name that is none of Kubernetes": {func(b bucket) { b.set("backups/Shop_1/x", nil) }, RuleName, "lowercase"},
		"a restore with a foreign object":   {func(b bucket) { b.set(restoreBase+"restore-r-volumeinfo.json.gz", nil) }, RuleObjects, "no object of Velero"},
		"a restore without its results":     {func(b bucket) { delete(b.MapFS, restoredResults) }, RuleObjects, "is missing"},
		"a repository without its format":   {func(b bucket) { delete(b.MapFS, "kopia/shop/kopia.repository") }, RuleRepository, "is missing"},
		"data without a repository": {func(b bucket) {
			b.set("kopia/other/kopia.repository", b.MapFS["kopia/shop/kopia.repository"].Data)
			delete(b.MapFS, "kopia/shop/kopia.repository")
		}, RuleRepository, "its repository has no"},
		"a repository without Velero's mark":  {func(b bucket) { delete(b.MapFS, "kopia/shop/udmrepo.Repository") }, RuleRepository, "is missing"},
		"a mark of another repository":        {func(b bucket) { b.set("kopia/shop/udmrepo.Repository", []byte(`{"uniqueID":"b3RoZXI="}`)) }, RuleRepository, "corrupt"},
		"a file that is no blob":              {func(b bucket) { b.set("kopia/shop/notes.txt", nil) }, RuleRepository, "no blob"},
		"a blob in a folder of a repository":  {func(b bucket) { b.set("kopia/shop/p/p00", nil) }, RuleRepository, "no blob"},
		"a repository that is encrypted else": {func(b bucket) { b.replacePlain("kopia/shop/kopia.repository", "AES256_GCM", "CHACHA20") }, RuleRepository, "CHACHA20"},
	}
}

func metadataBreaches() map[string]breach {
	replace := func(old, with string) func(b bucket) {
		return func(b bucket) { b.replacePlain(metadataKey, old, with) }
	}
	return map[string]breach{
		"metadata that is no JSON":           {func(b bucket) { b.set(metadataKey, []byte("{")) }, RuleJSON, ""},
		"metadata that is not indented":      {replace("    ", " "), RuleJSON, "indented"},
		"a field that Velero does not have":  {replace(`"hooks": {}`, `"hook": {}`), RuleField, "spec.hook"},
		"a field of objects that is unknown": {replace(`"generation"`, `"generations"`), RuleField, "generations"},
		"a third part of the object":         {replace(`"spec":`, `"specification":`), RuleField, "specification"},
		"a backup without spec":              {replace(`"spec":`, `"specification":`), RuleRequired, "spec"},
		"a string for a number":              {replace(`"version": 1`, `"version": "1"`), RuleType, "status.version"},
		"a list for a string":                {replace(`"ttl": "720h0m0s"`, `"ttl": ["720h0m0s"]`), RuleType, "spec.ttl"},
		"null where Velero has none":         {replace(`"metadata": {},`, `"metadata": null,`), RuleType, "spec.metadata"},
		"a time that is none":                {replace(`"expiration": "2026`, `"expiration": "x2026`), RuleType, "status.expiration"},
		"a phase that 1.16 does not have":    {replace(`"phase": "Completed"`, `"phase": "ReadyToStart"`), RuleEnum, "ReadyToStart"},
		"a backup that has failed":           {replace(`"phase": "Completed"`, `"phase": "Failed"`), RulePhase, "Failed"},
		"errors in a completed backup":       {replace(`"version": 1`, `"errors": 1, "version": 1`), RuleCount, "1 errors"},
		"no errors in one that has failed":   {replace(`"phase": "Completed"`, `"phase": "PartiallyFailed"`), RuleCount, "without errors"},
		"another format":                     {replace(`"1.1.0"`, `"1.2.0"`), RuleRequired, "1.2.0"},
		"no completion":                      {replace(`"completionTimestamp": "2026-11-22T07:51:58Z",`, ""), RuleRequired, "completionTimestamp"},
		"a completion before the start":      {replace(`"completionTimestamp": "2026`, `"completionTimestamp": "2025`), RuleCount, "before startTimestamp"},
		"progress that is not complete":      {replace(`"itemsBackedUp": 2`, `"itemsBackedUp": 1`), RuleCount, "of"},
		"another kind":                       {replace(`"kind": "Backup"`, `"kind": "Restore"`), RuleIdentity, "Restore"},
		"another name":                       {replace(`"name": "shop-1"`, `"name": "shop-3"`), RuleIdentity, "shop-3"},
		"a label of another location":        {replace(`"velero.io/storage-location": "default"`, `"velero.io/storage-location": "else"`), RuleIdentity, "else"},
		"no uid":                             {replace(`"uid": "`, `"selfLink": "`), RuleRequired, "uid"},
		"a backup with a finalizer":          {replace(`"labels": {`, `"finalizers": ["x/y"], "labels": {`), RuleFinalizer, "x/y"},
		"a backup that is being deleted":     {replace(`"labels": {`, `"deletionTimestamp": "2026-11-22T07:51:57Z", "labels": {`), RuleFinalizer, "deleted"},
	}
}

func volumeBreaches() map[string]breach {
	edit := func(change func(v map[string]any)) func(b bucket) {
		return func(b bucket) { b.editEntry(volumesKey, change) }
	}
	set := func(value any, path ...string) func(b bucket) {
		return edit(func(v map[string]any) { at(v, path[:len(path)-1]...)[path[len(path)-1]] = value })
	}
	drop := func(path ...string) func(b bucket) {
		return edit(func(v map[string]any) { delete(at(v, path[:len(path)-1]...), path[len(path)-1]) })
	}
	return map[string]breach{
		"volumes that are no list":          {func(b bucket) { b.set(volumesKey, pack([]byte("{}\n"))) }, RuleType, ""},
		"an empty list that is not null":    {func(b bucket) { b.set(volumesKey, pack([]byte("[]\n"))) }, RuleJSON, "null"},
		"a volume twice":                    {func(b bucket) { b.edit(volumesKey, func(d any) any { l, _ := d.([]any); return append(l, l[0]) }) }, RuleName, "is there before"},
		"a volume without a name":           {set("", "metadata", "name"), RuleName, "metadata.name"},
		"a volume with only a generateName": {drop("metadata", "name"), RuleRequired, "name"},
		"a canceled volume":                 {set("Canceled", "status", "phase"), RuleEnum, "Canceled"},
		"a volume that is not finished":     {set("InProgress", "status", "phase"), RulePhase, "InProgress"},
		"a volume that is to be canceled":   {set(true, "spec", "cancel"), RulePhase, "cancel"},
		"a volume without a snapshot":       {drop("status", "snapshotID"), RuleSnapshot, "snapshotID"},
		"a snapshot that is a root object":  {set("k720c9fa04a9b301e4b32e72902d35d64", "status", "snapshotID"), RuleSnapshot, "snapshotID"},
		"another uploader":                  {set("restic", "spec", "uploaderType"), RuleSnapshot, "restic"},
		"an uploader that is unknown":       {set("rsync", "spec", "uploaderType"), RuleEnum, "rsync"},
		"a repository identifier":           {set("s3:x", "spec", "repoIdentifier"), RuleSnapshot, "s3:x"},
		"no repository identifier":          {drop("spec", "repoIdentifier"), RuleRequired, "repoIdentifier"},
		"no node":                           {drop("spec", "node"), RuleRequired, "node"},
		"no pod":                            {drop("spec", "pod"), RuleRequired, "pod"},
		"a pod without uid":                 {drop("spec", "pod", "uid"), RuleRequired, "uid"},
		"no end":                            {drop("status", "completionTimestamp"), RuleRequired, "completionTimestamp"},
		"another backup's label":            {set("shop-2", "metadata", "labels", "velero.io/backup-name"), RuleIdentity, "shop-2"},
		"another backup's uid":              {set("x", "metadata", "labels", "velero.io/backup-uid"), RuleIdentity, "backup-uid"},
		"no claim in the annotations":       {drop("metadata", "annotations"), RuleIdentity, "pvc-name"},
		"no owner":                          {drop("metadata", "ownerReferences"), RuleIdentity, "owner"},
		"another owner": {edit(func(v map[string]any) {
			at(v, "metadata")["ownerReferences"].([]any)[0].(map[string]any)["kind"] = "Schedule"
		}), RuleIdentity, "owned by"},
		"another namespace":                      {set("else", "metadata", "namespace"), RuleIdentity, "else"},
		"another location":                       {set("else", "spec", "backupStorageLocation"), RuleIdentity, "else"},
		"a tag of another volume":                {set("else", "spec", "tags", "volume"), RuleIdentity, "tags[volume]"},
		"a volume with a finalizer":              {set([]any{"velero.io/pod-volume-finalizer"}, "metadata", "finalizers"), RuleFinalizer, "finalizer"},
		"a field that volumes do not have":       {set(1, "status", "bytes"), RuleField, "status.bytes"},
		"a number of bytes that is a text":       {set("1", "status", "progress", "bytesDone"), RuleType, "bytesDone"},
		"a number of bytes that is not whole":    {set(1.5, "status", "progress", "bytesDone"), RuleType, "bytesDone"},
		"a tag that is no text":                  {set(1, "spec", "tags", "x"), RuleType, "tags"},
		"a volume of a namespace without a repo": {set("bank", "spec", "pod", "namespace"), RuleRepository, "kopia/bank"},
	}
}

func volumeInfoBreaches() map[string]breach {
	edit := func(change func(v map[string]any)) func(b bucket) {
		return func(b bucket) { b.editEntry(infoKey, change) }
	}
	skipped := map[string]any{"pvcName": "c", "pvcNamespace": "shop", "pvName": "pv", "snapshotDataMoved": false, "preserveLocalSnapshot": false,
		"skipped": true, "skippedReason": "podvolume: x;", "pvInfo": map[string]any{"reclaimPolicy": "Retain", "labels": nil}}
	return map[string]breach{
		"information that is null":           {func(b bucket) { b.set(infoKey, pack([]byte("null\n"))) }, RuleJSON, "[]"},
		"a volume that is not listed":        {func(b bucket) { b.edit(infoKey, func(d any) any { return d.([]any)[1:] }) }, RuleVolumeInfo, "no entry"},
		"a persistent volume that is not":    {func(b bucket) { b.edit(infoKey, func(d any) any { return d.([]any)[1:] }) }, RuleVolumeInfo, "persistent volume shop-data"},
		"a volume that is listed twice":      {func(b bucket) { b.edit(infoKey, func(d any) any { l := d.([]any); return append(l, l[0]) }) }, RuleVolumeInfo, "twice"},
		"a skipped volume after a moved one": {func(b bucket) { b.edit(infoKey, func(d any) any { return append(d.([]any), skipped) }) }, RuleVolumeInfo, "come first"},
		"a skipped volume without a reason": {func(b bucket) {
			b.edit(infoKey, func(d any) any {
				s := maps.Clone(skipped)
				delete(s, "skippedReason")
				return append([]any{s}, d.([]any)...)
			})
		}, RuleVolumeInfo, "has a reason"},
		"a skipped volume with data":   {edit(func(v map[string]any) { v["skipped"], v["skippedReason"] = true, "x" }), RuleVolumeInfo, "skipped volume"},
		"no method":                    {edit(func(v map[string]any) { delete(v, "backupMethod") }), RuleEnum, "backupMethod"},
		"another method":               {edit(func(v map[string]any) { v["backupMethod"] = "Magic" }), RuleEnum, "Magic"},
		"a key that is always written": {edit(func(v map[string]any) { delete(v, "snapshotDataMoved") }), RuleRequired, "snapshotDataMoved"},
		"a phase in lower case": {edit(func(v map[string]any) {
			at(v, "pvbInfo")["phase"] = at(v, "pvbInfo")["Phase"]
			delete(at(v, "pvbInfo"), "Phase")
		}), RuleRequired, "Phase"},
		"labels of a volume that are missing": {edit(func(v map[string]any) { delete(at(v, "pvInfo"), "labels") }), RuleRequired, "labels"},
		"a key that nobody knows":             {edit(func(v map[string]any) { v["color"] = "red" }), RuleField, "color"},
		"a size that is a text":               {edit(func(v map[string]any) { at(v, "pvbInfo")["size"] = "1" }), RuleType, "size"},
		"a time of day":                       {edit(func(v map[string]any) { v["startTimestamp"] = "noon" }), RuleType, "noon"},
		"success of what has failed":          {edit(func(v map[string]any) { at(v, "pvbInfo")["Phase"] = "Failed" }), RuleVolumeInfo, "result"},
		"failure of what has succeeded":       {edit(func(v map[string]any) { v["result"] = "failed" }), RuleVolumeInfo, "result"},
		"another snapshot":                    {edit(func(v map[string]any) { at(v, "pvbInfo")["snapshotHandle"] = strings.Repeat("0", 32) }), RuleVolumeInfo, "not what its PodVolumeBackup says"},
		"another size":                        {edit(func(v map[string]any) { at(v, "pvbInfo")["size"] = 1 }), RuleVolumeInfo, "not what its PodVolumeBackup says"},
		"a claim without its volume":          {edit(func(v map[string]any) { delete(v, "pvName") }), RuleVolumeInfo, "the claim must have"},
		"a volume of another claim":           {edit(func(v map[string]any) { v["pvcName"] = "else" }), RuleVolumeInfo, "else"},
		"no information on the volume":        {edit(func(v map[string]any) { delete(v, "pvInfo") }), RuleVolumeInfo, "name and information"},
	}
}

const webItem = "namespaces/shop/web.json"

func archiveBreaches() map[string]breach {
	swap := func(change func(entries []entry) []entry) func(b bucket) {
		return func(b bucket) { b.editArchive(change) }
	}
	item := func(name string, change func(e *entry)) func(b bucket) {
		return func(b bucket) { b.editItem(name, change) }
	}
	claim := "persistentvolumeclaims/namespaces/shop/data-db-0.json"
	return map[string]breach{
		"no version":                {swap(func(e []entry) []entry { return e[1:] }), RuleEntry, "metadata/version"},
		"a version without its end": {swap(func(e []entry) []entry { e[0].content = []byte("1.1.0"); return e }), RuleEntry, "metadata/version"},
		"the version at the end":    {swap(func(e []entry) []entry { return append(e[1:], e[0]) }), RuleEntry, "metadata/version"},
		"an entry twice":            {swap(func(e []entry) []entry { return append(e, e[1]) }), RuleEntry, "twice"},
		"another mode":              {swap(func(e []entry) []entry { e[1].header.Mode = 0o644; return e }), RuleEntry, "mode"},
		"no time":                   {swap(func(e []entry) []entry { e[1].header.ModTime = time.Unix(0, 0); return e }), RuleEntry, "time"},
		"a folder": {swap(func(e []entry) []entry {
			return append(e, entry{header: tar.Header{Name: "resources/", Typeflag: tar.TypeDir, Mode: 0o755}})
		}), RuleEntry, "plain file"},
		"a link": {swap(func(e []entry) []entry {
			return append(e, entry{header: tar.Header{Name: "x", Linkname: "y", Typeflag: tar.TypeSymlink, Mode: 0o755}})
		}), RuleEntry, "plain file"},
		"a file that is no item": {swap(func(e []entry) []entry { e[1].header.Name = "resources/README"; return e }), RulePath, "README"},
		"an item of a version only": {swap(func(e []entry) []entry {
			e[1].header.Name = "resources/persistentvolumes/v1/cluster/shop-data.json"
			return e
		}), RulePath, "v1/cluster"},
		"a path that begins with ./": {swap(func(e []entry) []entry { e[1].header.Name = "./" + e[1].header.Name; return e }), RulePath, "./resources"},
		"no copy by version":         {swap(func(e []entry) []entry { return append(e[:2], e[3:]...) }), RuleCopy, "no copy"},
		"a copy only":                {swap(func(e []entry) []entry { return append(e[:1], e[2:]...) }), RuleCopy, "by version only"},
		"a copy that is different":   {swap(func(e []entry) []entry { (&e[2]).replace("Retain", "Delete"); return e }), RuleCopy, "other content"},
		"a copy of another version": {swap(func(e []entry) []entry {
			e[2].header.Name = strings.Replace(e[2].header.Name, "v1-", "v2-", 1)
			return e
		}), RuleItem, "version"},
		"an item of another name":      {item("deployments.apps/"+webItem, func(e *entry) { e.replace(`"name":"web"`, `"name":"else"`) }), RuleItem, "called"},
		"an item of another namespace": {item(claim, func(e *entry) { e.replace(`"namespace":"shop"`, `"namespace":"else"`) }), RuleItem, "called"},
		"an item of another group":     {item("deployments.apps/"+webItem, func(e *entry) { e.replace(`"apiVersion":"apps/v1"`, `"apiVersion":"v1"`) }), RuleItem, `"v1"`},
		"an item without a kind":       {item(claim, func(e *entry) { e.replace(`"kind":"PersistentVolumeClaim"`, `"x":1`) }), RuleItem, `""`},
		"an item that is no JSON":      {item(claim, func(e *entry) { e.content = []byte("{") }), RuleItem, "data-db-0"},
		"an item with a line break":    {item(claim, func(e *entry) { e.content = append(e.content, '\n') }), RuleJSON, "not one compact document"},
		"an item that is indented":     {item(claim, func(e *entry) { e.replace(`"spec":`, `"spec": `) }), RuleJSON, "not one compact document"},
		"a claim with a data source":   {item(claim, func(e *entry) { e.replace(`"volumeMode":`, `"dataSource":{},"volumeMode":`) }), RuleClaim, "dataSource"},
		"a claim with a selector":      {item(claim, func(e *entry) { e.replace(`"volumeMode":`, `"selector":{},"volumeMode":`) }), RuleClaim, "selector"},
		"a claim of an old restore":    {item(claim, func(e *entry) { e.replace(`"labels":{`, `"labels":{"velero.io/restore-name":"x",`) }), RuleClaim, "restore-name"},
		"half an archive":              {func(b bucket) { b.set(archiveKey, b.MapFS[archiveKey].Data[:4000]) }, RuleGzip, "EOF"},
		"an archive that is none":      {func(b bucket) { b.set(archiveKey, []byte("x")) }, RuleGzip, ""},
		"rubbish after the archive":    {func(b bucket) { b.set(archiveKey, append(b.MapFS[archiveKey].Data, 1, 2, 3)) }, RuleGzip, ""},
		"an item less than counted": {func(b bucket) {
			b.editArchive(func(e []entry) []entry { return append(e[:1], e[3:]...) })
			b.replace(listKey, `"v1/PersistentVolume":["shop-data"],`, "")
		}, RuleCount, "items"},
		"an item that is not listed": {func(b bucket) { b.replace(listKey, `"v1/Secret":["shop/db"],`, "") }, RuleList, "v1/Secret is missing"},
		"a listed item that is not":  {func(b bucket) { b.replace(listKey, `"v1/Secret":["shop/db"]`, `"v1/Secret":["shop/db","shop/x"]`) }, RuleList, "in the archive"},
		"a listed kind that is not": {func(b bucket) {
			b.replace(listKey, `"v1/Secret":["shop/db"]`, `"v1/Secret":["shop/db"],"v1/X":["shop/x"]`)
		}, RuleList, "v1/X"},
		"names that are not in order": {func(b bucket) {
			b.replace(listKey, `"shop/kube-root-ca.crt","shop/settings"`, `"shop/settings","shop/kube-root-ca.crt"`)
		}, RuleList, "not sorted"},
	}
}

func smallBreaches() map[string]breach {
	return map[string]breach{
		"a document that is not compressed": {func(b bucket) { b.set(resultsKey, b.unpack(resultsKey)) }, RuleGzip, ""},
		"a document without its end":        {func(b bucket) { d := b.MapFS[resultsKey].Data; b.set(resultsKey, d[:len(d)-4]) }, RuleGzip, "EOF"},
		"no line break at the end":          {func(b bucket) { b.set(resultsKey, pack([]byte(`{"errors":{},"warnings":{}}`))) }, RuleJSON, "line break"},
		"spaces in a document":              {func(b bucket) { b.replace(resultsKey, `"errors":`, `"errors": `) }, RuleJSON, "compact"},
		"two documents":                     {func(b bucket) { b.set(resultsKey, pack([]byte("{}\n{}\n"))) }, RuleJSON, ""},
		"characters of HTML":                {func(b bucket) { b.replace(resultsKey, `"errors":{}`, `"errors":{"velero":["<x>"]}`) }, RuleJSON, "HTML"},
		"results without warnings":          {func(b bucket) { b.set(resultsKey, pack([]byte(`{"errors":{}}`+"\n"))) }, RuleRequired, "warnings"},
		"results of nobody":                 {func(b bucket) { b.replace(resultsKey, `"errors":{}`, `"errors":{"podkeep":[]}`) }, RuleField, "podkeep"},
		"errors that are no list":           {func(b bucket) { b.replace(resultsKey, `"errors":{}`, `"errors":{"velero":"x"}`) }, RuleType, ""},
		"errors that are not counted":       {func(b bucket) { b.replace(resultsKey, `"errors":{}`, `"errors":{"velero":["x"]}`) }, RuleCount, "1 errors"},
		"snapshots that are an empty list":  {func(b bucket) { b.set(snapshotsKey, pack([]byte("[]\n"))) }, RuleJSON, "null"},
		"operations that are null":          {func(b bucket) { b.set(operationsKey, pack([]byte("null\n"))) }, RuleJSON, "[]"},
		"a line that is none":               {func(b bucket) { b.replace(logKey, "level=info", "level=INFO") }, RuleLog, "no line"},
		"a line of nobody":                  {func(b bucket) { b.replace(logKey, "backup=velero/shop-1", "x=y") }, RuleLog, "has no backup"},
		"a line without its end":            {func(b bucket) { b.set(logKey, pack(bytes.TrimSuffix(b.unpack(logKey), []byte("\n")))) }, RuleLog, "not complete"},
		"a line at no time":                 {func(b bucket) { b.replace(logKey, `time="2026`, `time="x`) }, RuleLog, "cannot parse"},
		"a JSON line without a message":     {func(b bucket) { b.set(logKey, pack([]byte(`{"level":"info","time":"x"}`+"\n"))) }, RuleRequired, "msg"},
	}
}

func restoreBreaches() map[string]breach {
	edit := func(change func(v map[string]any)) func(b bucket) {
		return func(b bucket) { b.editEntry(restoreInfoKey, change) }
	}
	return map[string]breach{
		"a restored item without an action": {func(b bucket) { b.replace(restoreListKey, "(created)", "") }, RuleList, "no item"},
		"an action of nobody":               {func(b bucket) { b.replace(restoreListKey, "(created)", "(made)") }, RuleList, "no item"},
		"a kind without a version":          {func(b bucket) { b.replace(restoreListKey, "apps/v1/Deployment", "Deployment") }, RuleList, "no apiVersion"},
		"a restored volume without method":  {edit(func(v map[string]any) { delete(v, "restoreMethod") }), RuleRequired, "restoreMethod"},
		"a restored volume without claim":   {edit(func(v map[string]any) { delete(v, "pvcName") }), RuleVolumeInfo, "claim"},
		"a restored volume with a phase":    {edit(func(v map[string]any) { at(v, "pvrInfo")["Phase"] = "Completed" }), RuleVolumeInfo, "phase"},
		"a restored volume of no snapshot":  {edit(func(v map[string]any) { at(v, "pvrInfo")["snapshotHandle"] = "x" }), RuleVolumeInfo, "snapshot"},
		"a log of another restore":          {func(b bucket) { b.replace(restoreLogKey, "restore=", "backup=") }, RuleLog, "restore="},
		"a null list of restored volumes":   {func(b bucket) { b.set(restoreInfoKey, pack([]byte("null\n"))) }, RuleJSON, "[]"},
	}
}
