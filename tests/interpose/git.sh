# Repositories on this machine: hooks, clones by path and by protocol, packing, merging.
set -e
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='2001-01-01T00:00:00Z' GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_PAGER=cat
git init -q -b main source
cd source
printf '#!/bin/sh\necho hook "$(git rev-parse --abbrev-ref HEAD)"\n' >.git/hooks/post-commit
chmod +x .git/hooks/post-commit
for i in 1 2 3; do
    echo $i >file$i
    git add file$i
    git commit -q -m "commit $i"
done
git checkout -q -b side HEAD~1
echo side >side
git add side
git commit -q -m side
git checkout -q main
git merge -q -m merged side
git log --oneline --graph --stat
git gc -q
cd ..
git clone -q source by-path
git clone -q "file://$PWD/source" by-protocol
git clone -q --bare source bare.git
cd by-protocol
git log --format=%s
echo more >>file1
git commit -q -a -m more
git push -q ../bare.git main
git -C ../bare.git log -1 --format=%s
git fetch -q ../by-path
git -c alias.hello='!echo hello from' hello alias
git diff --stat HEAD~1
git -c core.editor='sh -c "echo edited >\$1" -' commit -q --amend
git log -1 --format=%s
git clone -q /nonexistent/repository x || echo clone $?
git fsck 2>/dev/null
