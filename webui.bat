@echo off
rem Installs what is missing, then starts the page. Flags of its own, before all others: --skip-torch leaves torch alone,
rem --torch BUILD takes this build, --plan says what would be installed, --install-only starts nothing (docs\install.md).
rem All other flags are passed on to app.py: webui.bat --help
setlocal
cd /d "%~dp0"
set "check=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))"
set "flags="
set "only="
set "own="
set rest=%*

:next
if "%~1"=="--skip-torch" (set "own=1" & set "flags=%flags% --skip-torch" & shift & goto next)
if "%~1"=="--torch" (set "own=1" & set "flags=%flags% --torch %~2" & shift & shift & goto next)
if "%~1"=="--plan" (set "own=1" & set "flags=%flags% --plan" & set "only=1" & shift & goto next)
if "%~1"=="--install-only" (set "own=1" & set "only=1" & shift & goto next)
rem What cmd counts as one argument ends at commas too, so all is given on as it was typed, where nothing is taken out.
if not defined own goto ready
set "rest="
:more
if "%~1"=="" goto ready
set rest=%rest% %1
shift
goto more

:ready
.venv\Scripts\python -c "%check%" >nul 2>&1 && goto install
echo Making the environment .venv ...
for %%p in ("py -3.13" "py -3.12" "py -3.11" "py -3.14" "python" "python3") do (
    %%~p -c "%check%" >nul 2>&1 && %%~p -m venv --clear .venv && goto install
)
uv venv --quiet --clear --seed --python ">=3.11,<3.15" .venv >nul 2>&1 && goto install
echo error: No Python 3.11 to 3.14 was found. Install Python 3.13 from https://www.python.org/downloads/ and start again.
pause
exit /b 1

:install
.venv\Scripts\python tools\install.py --requirements requirements.txt %flags%
if errorlevel 1 (pause & exit /b 1)
if defined only exit /b 0
.venv\Scripts\python app.py %rest%
